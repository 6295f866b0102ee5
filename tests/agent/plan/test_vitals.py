"""What counts as a hang."""

from dataclasses import replace

import pytest

from linewatch_agent.plan.vitals import LATE_S_MAX, Vitals, what_hangs

WELL = Vitals(scheduler_late_s=0, commit_late_s=0, store_answers=True, memory_bytes=40_000_000)


def test_an_agent_that_works_hangs_nowhere() -> None:
    """Nothing late, nor late by as much as a busy machine may be."""
    assert what_hangs(WELL) is None
    busy = replace(WELL, scheduler_late_s=LATE_S_MAX, commit_late_s=LATE_S_MAX)
    assert what_hangs(busy) is None


@pytest.mark.parametrize(
    ("vitals", "said"),
    [
        (replace(WELL, scheduler_late_s=LATE_S_MAX + 1), "the next round is 21 s late"),
        (replace(WELL, commit_late_s=LATE_S_MAX + 1), "the next commit is 21 s late"),
        (replace(WELL, store_answers=False), "the store's thread does not answer"),
    ],
)
def test_either_one_stuck_is_a_hang(vitals: Vitals, said: str) -> None:
    """The rounds alone, or the writing alone, do not make a working agent."""
    assert what_hangs(vitals) == said


def test_memory_is_no_hang() -> None:
    """Too much of it ends the agent in order, not by the watchdog."""
    assert what_hangs(replace(WELL, memory_bytes=10**12)) is None
