"""Releases of the agent: fetched and proved by the agent, checked and put in place by root.

`gate.py` and what it imports need the standard library only, so that a release whose
libraries are broken can still be rolled back. Source: docs/probe.md, "Package and updates".
"""
