"""Five-minute roll-ups: what they count, when they close, and that nothing is lost in them."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.rollup import RollUp, percentile
from linewatch_core.records import ROLL_WINDOW_MS, UNCOUNTED, Check, Roll, Sample

LATEST_MS = 30_000


def sample(
    slot_ms: int,
    *,
    line: str = "fixed-1",
    target: str = "bank",
    check: Check = Check.TCP,
    failure: str | None = None,
    rtt_us: int | None = 1_000,
) -> Sample:
    """Return a sample that began 3 ms after its slot."""
    return Sample(
        mono_ms=slot_ms + 3,
        slot_ms=slot_ms,
        round_ms=slot_ms,
        line=line,
        target=target,
        check=check,
        family=4,
        failure=failure,
        rtt_us=None if failure else rtt_us,
    )


def test_what_a_roll_up_says() -> None:
    """Ten samples of which three failed: counts per outcome, times of those that answered."""
    roll_up = RollUp()
    for number in range(7):
        roll_up.add(sample(number * 1000, rtt_us=(number + 1) * 100))
    for failure in ("generic_timeout_error", "connection_reset", "generic_timeout_error"):
        roll_up.add(sample(9_000, failure=failure))
    assert roll_up.take_all(20_000) == [
        Roll(
            mono_ms=20_000,
            window=0,
            line="fixed-1",
            target="bank",
            check=Check.TCP,
            sent=10,
            answered=7,
            failures={"connection_reset": 1, "generic_timeout_error": 2},
            rtt_min_us=100,
            rtt_median_us=400,
            rtt_p95_us=700,
        )
    ]


def test_where_nothing_answered_there_are_no_times() -> None:
    """The dark is counts only; an answer without a time is still an answer."""
    roll_up = RollUp()
    roll_up.add(sample(0, failure="generic_timeout_error"))
    roll_up.add(sample(0, rtt_us=None))
    (roll,) = roll_up.take_all(1)
    assert (roll.sent, roll.answered) == (2, 1)
    assert (roll.rtt_min_us, roll.rtt_median_us, roll.rtt_p95_us) == (None, None, None)


def test_a_window_closes_thirty_seconds_after_its_end() -> None:
    """Its last checks may still run until then; each window is given out once."""
    roll_up = RollUp()
    roll_up.add(sample(ROLL_WINDOW_MS - 1))
    roll_up.add(sample(ROLL_WINDOW_MS))
    assert roll_up.take_closed(ROLL_WINDOW_MS + LATEST_MS - 1) == []
    (first,) = roll_up.take_closed(ROLL_WINDOW_MS + LATEST_MS)
    assert (first.window, first.sent) == (0, 1)
    assert roll_up.take_closed(ROLL_WINDOW_MS + LATEST_MS) == []
    (second,) = roll_up.take_all(ROLL_WINDOW_MS + LATEST_MS)
    assert (second.window, second.sent) == (1, 1)


def test_a_sample_belongs_to_the_window_of_its_slot() -> None:
    """A check that began late counts where it was due, on every line alike."""
    roll_up = RollUp()
    late = sample(ROLL_WINDOW_MS - 1)
    assert late.mono_ms > ROLL_WINDOW_MS
    roll_up.add(late)
    assert [roll.window for roll in roll_up.take_all(0)] == [0]


def test_a_late_sample_makes_a_second_roll_up_of_its_window() -> None:
    """Nothing is dropped: counts of one window add up."""
    roll_up = RollUp()
    roll_up.add(sample(5))
    closed = roll_up.take_closed(2 * ROLL_WINDOW_MS)
    roll_up.add(sample(6, failure="connection_reset"))
    closed += roll_up.take_closed(2 * ROLL_WINDOW_MS)
    assert [(roll.window, roll.sent, roll.answered) for roll in closed] == [(0, 1, 1), (0, 1, 0)]


def test_modems_and_traces_are_not_counted() -> None:
    """A modem's state is no answer, and a path that nobody ends is no silence of a line."""
    roll_up = RollUp()
    for check in UNCOUNTED:
        roll_up.add(sample(5, check=check))
    assert roll_up.take_all(0) == []


SAMPLES = st.lists(
    st.builds(
        sample,
        st.integers(0, 4 * ROLL_WINDOW_MS),
        line=st.sampled_from(["fixed-1", "modem-1"]),
        target=st.sampled_from(["bank", "portal"]),
        check=st.sampled_from([check for check in Check if check not in UNCOUNTED]),
        failure=st.sampled_from([None, "connection_reset", "generic_timeout_error"]),
        rtt_us=st.integers(0, 10**6).map(lambda n: n * 10),
    ),
    max_size=60,
)


@given(SAMPLES, st.integers(0, 6 * ROLL_WINDOW_MS))
def test_every_sample_is_counted_once(samples: list[Sample], when_ms: int) -> None:
    """However windows are taken, the sums are those of the samples, in a stable order."""
    roll_up = RollUp()
    for one in samples:
        roll_up.add(one)
    first = roll_up.take_closed(when_ms)
    rolls = first + roll_up.take_all(when_ms)
    assert roll_up.take_all(when_ms) == []
    assert sum(roll.sent for roll in rolls) == len(samples)
    assert sum(roll.answered for roll in rolls) == sum(s.failure is None for s in samples)
    assert all(roll.sent == roll.answered + sum(roll.failures.values()) for roll in rolls)
    keys = [(roll.window, roll.line, roll.target, roll.check) for roll in first]
    assert keys == sorted(set(keys))
    for roll in rolls:
        times = (roll.rtt_min_us, roll.rtt_median_us, roll.rtt_p95_us)
        assert times == (None, None, None) or list(times) == sorted(times)  # type: ignore[type-var]


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_are_of_nearest_rank(percent: int) -> None:
    """For every count up to 400: the least value with that share at or below it, exactly."""
    for count in range(1, 401):
        rank = ceil(Fraction(percent * count, 100))
        assert percentile(range(1, count + 1), percent) == rank
