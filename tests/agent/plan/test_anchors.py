"""Which anchors are worth a record, and how a bound grows between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.anchors import (
    RENEW_MS,
    USELESS_ERROR_MS,
    contradicts,
    error_now_ms,
    is_worth_recording,
)
from linewatch_core.cones import DRIFT_PPM
from linewatch_core.records import Anchor, AnchorSource

UTC_MS = 1_790_000_000_000


def anchor(mono_ms: int, error_ms: int, *, wrong_ms: int = 0) -> Anchor:
    """Return an anchor of a boot that began at UTC_MS."""
    return Anchor(mono_ms, UTC_MS + mono_ms + wrong_ms, error_ms, AnchorSource.NTP)


def test_a_bound_grows_by_the_drift_and_is_rounded_up() -> None:
    """500 ppm: 1.8 s an hour; a single ms of time already counts as one of error."""
    assert error_now_ms(anchor(0, 10), now_ms=0) == 10
    assert error_now_ms(anchor(0, 10), now_ms=1) == 11
    assert error_now_ms(anchor(0, 10), now_ms=3_600_000) == 1_810
    assert error_now_ms(anchor(5_000, 10), now_ms=3_000) == 11


@pytest.mark.parametrize(
    ("new", "last", "worth"),
    [
        (anchor(0, 50), None, True),
        (anchor(0, USELESS_ERROR_MS), None, True),
        (anchor(0, USELESS_ERROR_MS + 1), None, False),
        (anchor(60_000, 50), anchor(0, 50), False),
        (anchor(RENEW_MS - 1, 1_000), anchor(0, 50), False),
        (anchor(RENEW_MS, 1_000), anchor(0, 50), True),
        (anchor(RENEW_MS, USELESS_ERROR_MS + 1), anchor(0, 50), False),
        (anchor(60_000, 40), anchor(0, 50), True),
        (anchor(60_000, 41), anchor(0, 50), False),
        (anchor(60_000, 50, wrong_ms=130), anchor(0, 50), False),
        (anchor(60_000, 50, wrong_ms=131), anchor(0, 50), True),
        (anchor(60_000, 50, wrong_ms=-131), anchor(0, 50), True),
    ],
    ids=[
        "first",
        "vague but brackets",
        "useless",
        "no news",
        "not an hour yet",
        "an hour",
        "an hour, but useless",
        "twice as good",
        "not twice as good",
        "apart, but within both bounds",
        "ahead of what the last one allows",
        "behind what the last one allows",
    ],
)
def test_what_is_worth_a_record(new: Anchor, last: Anchor | None, worth: bool) -> None:
    """The first, one an hour, one that is much better, and one that contradicts."""
    assert is_worth_recording(new, last) is worth


SPANS = st.integers(0, 10**9)
SHARES = st.floats(-1, 1)
ERRORS = st.tuples(st.integers(0, 10**5), SHARES)


@given(SPANS, SPANS, ERRORS, ERRORS, SHARES)
def test_honest_anchors_never_contradict(
    first_ms: int, later_ms: int, one: tuple[int, float], other: tuple[int, float], drift: float
) -> None:
    """True time within each bound, and a clock within the drift: no contradiction is seen."""
    ran_ms = int(later_ms * drift * DRIFT_PPM / 1e6)
    last = anchor(first_ms, one[0], wrong_ms=int(one[0] * one[1]))
    new = anchor(first_ms + later_ms, other[0], wrong_ms=ran_ms + int(other[0] * other[1]))
    assert not contradicts(new, last)
