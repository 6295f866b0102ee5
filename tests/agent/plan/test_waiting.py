"""What waits for the disk: order, the bound of memory, and what may be called safe."""

from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.waiting import Waiting
from linewatch_core.records import (
    BootStarted,
    Check,
    Gap,
    GapReason,
    Roll,
    Sample,
    stream_of,
)
from tests.support.probe import sample
from tests.support.segments import BOOT


def roll(mono_ms: int) -> Roll:
    """Return a roll-up that was closed at that time."""
    return Roll(mono_ms, 0, "fixed-1", "a", Check.TCP, 1, 1, {})


def filled(*bodies: Sample | Roll | BootStarted, records_max: int = 100) -> Waiting:
    """Return what waits after these bodies came."""
    waiting = Waiting(records_max=records_max)
    for body in bodies:
        waiting.put(body)
    return waiting


def test_bodies_leave_in_the_order_in_which_they_came() -> None:
    """A group is the front; it stays until it is stored."""
    waiting = filled(sample(1), sample(2), sample(3))
    assert waiting.group(2) == waiting.group(2) == [sample(1), sample(2)]
    waiting.stored(2)
    assert waiting.group(9) == [sample(3)]
    assert len(waiting) == 1


def test_safe_is_before_the_earliest_of_the_rest_not_the_first() -> None:
    """A slow check that began first ends last, so it stands behind quicker ones."""
    waiting = filled(sample(50), sample(90), sample(10))
    assert waiting.safe_ms(5_000, after=1) == 1_010
    assert waiting.safe_ms(5_000, after=3) == 5_000
    assert waiting.safe_ms(1_003, after=1) == 1_003


def test_the_oldest_samples_go_first_then_rolls_and_events_never() -> None:
    """Whatever the bound, what happened stays."""
    started = BootStarted(1, "0")
    waiting = filled(started, sample(1), roll(7), sample(2), records_max=3)
    assert waiting.shed() == 1
    assert waiting.group(9) == [started, roll(7), sample(2)]
    smaller = filled(started, sample(1), roll(7), BootStarted(2, "0"), records_max=1)
    assert smaller.shed() == 2
    assert smaller.group(9) == [started, BootStarted(2, "0")]


def test_what_was_shed_is_told_until_it_is_stored() -> None:
    """The gap spans the earliest and latest of what went, and nothing is safe before it."""
    waiting = filled(sample(30), sample(10), sample(20), sample(99), records_max=1)
    assert waiting.shed() == 3
    assert waiting.overrun(BOOT, now_ms=9_000) == [
        Gap(9_000, GapReason.OVERRUN, BOOT, 1_010, 1_030)
    ]
    assert waiting.safe_ms(9_000, after=1) == 1_010
    assert waiting.safe_ms(9_000, after=1, told=True) == 9_000
    waiting.stored(1)
    assert waiting.overrun(BOOT, now_ms=9_000) == []
    assert waiting.safe_ms(9_000) == 9_000


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(0, 20), st.integers(0, 40))
def test_every_sample_is_waiting_or_stored_or_told(
    times: list[int], records_max: int, take: int
) -> None:
    """Whatever is shed lies within the gap; whatever waits is not before `safe_ms`."""
    waiting = filled(*map(sample, times), records_max=records_max)
    dropped = waiting.shed()
    kept = waiting.group(100)
    assert dropped + len(kept) == len(times)
    assert len(kept) <= max(records_max, 0) or dropped == 0
    assert [stream_of(body) for body in kept] == [stream_of(sample(0))] * len(kept)
    safe_ms = waiting.safe_ms(10_000, after=take, told=True)
    assert all(body.mono_ms >= safe_ms for body in kept[take:])
    for gap in waiting.overrun(BOOT, now_ms=10_000):
        gone = sorted(times)
        for body in kept:
            gone.remove(body.mono_ms - 1_000)
        assert (gap.from_ms, gap.to_ms) == (1_000 + gone[0], 1_000 + gone[-1])
