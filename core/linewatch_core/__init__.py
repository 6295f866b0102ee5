"""Linewatch core: records, segments, time and the sync machines; pure, shared by both ends."""
