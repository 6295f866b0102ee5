"""Exports: what is stored, as files that other programs read."""
