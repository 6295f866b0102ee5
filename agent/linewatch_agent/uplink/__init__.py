"""Drives the uploader machine over the lines in turn: which way next, one session, what is kept."""
