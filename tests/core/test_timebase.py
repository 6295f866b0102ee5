"""The map from (boot, monotonic) to UTC: sound, narrowing, honest about disputes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.ids import BootId
from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.timebase import Boot, Interval, Timeline

A, B, C = (BootId(letter * 32) for letter in "abc")
UTC = 1_800_000_000_000
HOUR = 3_600_000


def anchor(mono_ms: int, utc_ms: int, error_ms: int = 10, source: str = "ntp") -> Anchor:
    """Return an anchor."""
    return Anchor(mono_ms, utc_ms, error_ms, AnchorSource(source))


def one_boot(*anchors: Anchor, first: int = 0, last: int = 10 * HOUR) -> Timeline:
    """Return the timeline of one boot."""
    return Timeline([Boot(A, first, last, anchors)])


def test_an_anchor_bounds_its_own_moment_by_its_error() -> None:
    """At the anchor itself the interval is the anchor's error to both sides."""
    assert one_boot(anchor(5000, UTC)).place(A, 5000) == Interval(UTC - 10, UTC + 10)


def test_the_cone_opens_by_500_ppm_to_both_sides() -> None:
    """An hour from the anchor, the bound has grown by 1.8 s."""
    timeline = one_boot(anchor(HOUR, UTC))
    assert timeline.place(A, 2 * HOUR) == Interval(UTC + HOUR - 1810, UTC + HOUR + 1810)
    assert timeline.place(A, 0) == Interval(UTC - HOUR - 1810, UTC - HOUR + 1810)


def test_bounds_are_rounded_outward() -> None:
    """A drift of half a millisecond counts as a whole one on either side."""
    timeline = one_boot(anchor(0, UTC))
    assert timeline.place(A, 1000) == Interval(UTC + 989, UTC + 1011)


def test_cones_before_and_after_are_intersected() -> None:
    """Between two anchors each side takes the nearer bound."""
    timeline = one_boot(anchor(0, UTC), anchor(HOUR, UTC + HOUR + 1800))
    placed = timeline.place(A, HOUR)
    assert placed == Interval(UTC + HOUR + 1790, UTC + HOUR + 1810)
    assert timeline.place(A, HOUR // 2).lo_ms == UTC + HOUR // 2 + 890


def test_contradicting_anchors_give_their_hull_and_say_so() -> None:
    """Two anchors an hour apart at one moment span that hour and set the flag."""
    timeline = one_boot(anchor(0, UTC), anchor(1000, UTC + HOUR))
    placed = timeline.place(A, 1000)
    assert placed.disputed
    assert placed == Interval(UTC + 989, UTC + HOUR + 10, True)


def test_a_dispute_holds_for_the_whole_boot() -> None:
    """Far from the anchors their cones meet again, but what they meet in is not believed."""
    timeline = one_boot(anchor(0, UTC), anchor(1000, UTC + 2000, 0), last=100 * HOUR)
    placed = timeline.place(A, 100 * HOUR)
    assert placed.disputed
    assert placed.lo_ms is not None
    assert placed.lo_ms <= UTC + 100 * HOUR * 9995 // 10000


def test_an_anchor_that_agrees_with_both_sides_still_narrows_a_dispute() -> None:
    """A wide but undisputed anchor cuts the hull."""
    fighting = (anchor(0, UTC, 0), anchor(0, UTC + 8000, 0))
    wide = anchor(0, UTC + 3000, 5500)
    assert one_boot(*fighting, wide).place(A, 0) == Interval(UTC, UTC + 8000, True)
    narrower = anchor(0, UTC + 4000, 4000)
    assert one_boot(*fighting, narrower).place(A, HOUR).width_ms == 8000 + 2 * 1800


@pytest.mark.parametrize("useless", [anchor(0, UTC, 5, "nitz"), anchor(0, UTC, -1)])
def test_nitz_and_negative_errors_place_nothing(useless: Anchor) -> None:
    """The operator's own word, or an impossible error, leaves a boot open on both sides."""
    assert one_boot(useless).place(A, 0) == Interval(None, None)


def test_a_boot_without_anchor_lies_between_its_neighbours() -> None:
    """Its records come after the boot before and before the boot after, in their own order."""
    timeline = Timeline(
        [
            Boot(A, 0, HOUR, (anchor(HOUR, UTC),)),
            Boot(B, 0, HOUR),
            Boot(C, 0, HOUR, (anchor(0, UTC + 3 * HOUR),)),
        ]
    )
    assert timeline.place(B, 0) == Interval(UTC - 10, UTC + 2 * HOUR + 1810)
    assert timeline.place(B, HOUR) == Interval(UTC + HOUR - 1810, UTC + 3 * HOUR + 10)


def test_the_first_and_last_boot_without_anchor_are_open_on_one_side() -> None:
    """Nothing bounds what came before all anchors, or after all of them."""
    timeline = Timeline([Boot(A, 0, 5), Boot(B, 0, 9, (anchor(4, UTC),)), Boot(C, 0, 5)])
    assert timeline.place(A, 5) == Interval(None, UTC + 7)
    assert timeline.place(C, 0) == Interval(UTC - 6, None)
    assert timeline.place(BootId("d" * 32), 0) == Interval(None, None)


def test_a_lying_boot_disputes_its_neighbour_too() -> None:
    """A boot dated years ahead of the one after it makes both spans as wide as the conflict."""
    timeline = Timeline(
        [
            Boot(A, 0, 9, (anchor(0, UTC + 9999 * HOUR),)),
            Boot(B, 0, 9, (anchor(0, UTC),)),
            Boot(C, 0, 9, (anchor(0, UTC + HOUR),)),
        ]
    )
    for boot in (A, B):
        placed = timeline.place(boot, 0)
        assert placed.disputed
        assert placed.lo_ms is not None
        assert placed.hi_ms is not None
        assert placed.lo_ms <= UTC + 11
        assert placed.hi_ms >= UTC + 9999 * HOUR - 10
    assert not timeline.place(C, 0).disputed


def test_a_boot_listed_twice_is_a_callers_bug() -> None:
    """The order of boots would be ambiguous."""
    with pytest.raises(ValueError, match="twice"):
        Timeline([Boot(A, 0, 1), Boot(A, 2, 3)])


def test_mono_range_of_an_unknown_boot_or_another_time_is_none() -> None:
    """What cannot lie in the range is not looked at."""
    timeline = one_boot(anchor(0, UTC))
    assert timeline.mono_range(B, UTC, UTC + HOUR) is None
    assert timeline.mono_range(A, UTC - 2 * HOUR, UTC - HOUR) is None
    assert timeline.mono_range(A, UTC + HOUR, UTC + HOUR) == (HOUR - 1810, HOUR + 1811)


History = list[tuple[Boot, list[tuple[int, int]]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw boots of drifting clocks with honest anchors, each with its (mono, true time) pairs."""
    utc = UTC
    history = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        utc += draw(st.integers(0, HOUR))
        mono = draw(st.integers(0, HOUR))
        moments: list[tuple[int, int]] = []
        for _ in range(draw(st.integers(1, 12))):
            step = draw(st.integers(0, 4 * HOUR))
            mono += step
            drift = step * 500 // 1_000_000
            utc += step + draw(st.integers(-drift, drift))
            moments.append((mono, utc))
        anchors = []
        for at, true in draw(st.lists(st.sampled_from(moments), max_size=4)):
            error = draw(st.integers(0, 5000))
            anchors.append(anchor(at, true + draw(st.integers(-error, error)), error))
        boot = Boot(BootId(name * 32), moments[0][0], moments[-1][0], tuple(anchors))
        history.append((boot, moments))
    return history


@given(histories())
def test_the_true_time_is_always_inside(history: History) -> None:
    """Honest anchors and drift within bounds never exclude the truth, nor are they disputed."""
    timeline = Timeline(boot for boot, _ in history)
    for boot, moments in history:
        for at, true in moments:
            placed = timeline.place(boot.boot, at)
            assert not placed.disputed
            assert placed.lo_ms is None or placed.lo_ms <= true
            assert placed.hi_ms is None or true <= placed.hi_ms
            within = timeline.mono_range(boot.boot, true, true)
            assert within is not None
            assert within[0] <= at <= within[1]


@given(histories(), st.data())
def test_honest_anchors_only_narrow(history: History, data: st.DataObject) -> None:
    """With any of the anchors taken away, no interval is narrower than with all."""
    full = Timeline(boot for boot, _ in history)
    fewer = []
    for boot, _ in history:
        kept = tuple(a for a in boot.anchors if data.draw(st.booleans()))
        fewer.append(Boot(boot.boot, boot.first_mono_ms, boot.last_mono_ms, kept))
    less = Timeline(fewer)
    for boot in fewer:
        at = data.draw(st.integers(boot.first_mono_ms - HOUR, boot.last_mono_ms + HOUR))
        wide, narrow = less.place(boot.boot, at), full.place(boot.boot, at)
        if wide.lo_ms is not None:
            assert narrow.lo_ms is not None
            assert narrow.lo_ms >= wide.lo_ms
        if wide.hi_ms is not None:
            assert narrow.hi_ms is not None
            assert narrow.hi_ms <= wide.hi_ms


@given(
    st.lists(
        st.tuples(st.integers(0, HOUR), st.integers(0, HOUR), st.integers(0, 9000)), max_size=6
    ),
    st.integers(0, HOUR),
    st.integers(0, HOUR),
)
def test_any_anchors_give_ordered_bounds_that_never_run_backwards(
    raw: list[tuple[int, int, int]], one: int, other: int
) -> None:
    """Whatever the anchors say, lo <= hi, and a later reading is never placed earlier."""
    timeline = one_boot(*(anchor(m, UTC + u, e) for m, u, e in raw), last=HOUR)
    early, late = (timeline.place(A, m) for m in sorted((one, other)))
    if raw:
        assert early.lo_ms is not None
        assert early.hi_ms is not None
        assert late.lo_ms is not None
        assert late.hi_ms is not None
        assert early.lo_ms <= early.hi_ms
        assert early.lo_ms <= late.lo_ms
        assert early.hi_ms <= late.hi_ms
    else:
        assert early == Interval(None, None)
