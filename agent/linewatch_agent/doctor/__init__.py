"""`linewatch-agent doctor`: what can be wrong on a probe, each with what to do about it.

One small function for each thing; findings.py is pure, host.py reads, command.py joins.
"""
