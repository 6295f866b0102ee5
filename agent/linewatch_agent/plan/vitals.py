"""Whether the agent does its work: what must go on, and what it means that it does not.

Pure. A disk that refuses or a line that is dead is no hang: to start anew would
mend neither, and would lose what waits in memory.
"""

from dataclasses import dataclass

LATE_S_MAX = 20.0
"""A busy machine and a slow card make steps late by seconds, hardly by this much."""
MEMORY_BYTES_MAX = 96_000_000
"""Twice what the agent has when all features are on (docs/measurements.md): it leaks."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the agent's work goes on.

    Attributes:
        scheduler_late_s: how long ago the next step of the rounds was due; 0: not yet.
        commit_late_s: how long ago the next commit was due; 0: not yet, or nothing waits.
        store_answers: the store's thread did what it was asked for in time.
        memory_bytes: resident.
    """

    scheduler_late_s: float
    commit_late_s: float
    store_answers: bool
    memory_bytes: int


def what_hangs(vitals: Vitals) -> str | None:
    """Return in words what does not go on, or None if all does."""
    if vitals.scheduler_late_s > LATE_S_MAX:
        return f"the next round is {vitals.scheduler_late_s:.0f} s late"
    if not vitals.store_answers:
        return "the store's thread does not answer"
    if vitals.commit_late_s > LATE_S_MAX:
        return f"the next commit is {vitals.commit_late_s:.0f} s late"
    return None
