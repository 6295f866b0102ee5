"""The soak: a real agent for hours under faults, and whether it stays the size that it was.

    python -m tests.soak --hours 8
    python -m tests.soak --hours 0.2 --seed 7
    make soak ARGS="--hours 8"

Agent, Mosquitto and server run as their users run them, in namespaces (needs root),
with rounds of one second: thirty times the work of a usual hour. One fault follows
another, drawn from the printed seed (`faults.py`): the broker killed, or killed and
its memory wiped, the server killed, the line down, the disk full. Each ten seconds the
agent's resident memory, descriptors, threads and store are read (`figures.py`). It
passes if memory and descriptors end as they began, and if at the end every number that
was given out is at the server, once.
"""
