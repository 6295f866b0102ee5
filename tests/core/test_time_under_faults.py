"""What can be promised of time when clocks drift, step, lose power, and are lied to.

The world: true time; a probe that boots again and again without a clock that survives
it; a monotonic clock per boot that runs up to 500 ppm fast or slow, as it likes at each
moment; time sources that are honest (the truth lies within their error) or that lie.
A wall clock that steps is not in it, since no record holds one: it shows only as a
source that lies.

Promised, and tested here: with honest sources the truth is always inside, and whatever
becomes known only narrows. A lie that contradicts an honest anchor of the same boot
never excludes the truth. One that contradicts none is within the honest anchors' own
error of being true, and so is what comes of it.
"""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.cones import DRIFT_PPM
from linewatch_core.ids import BootId
from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.timebase import Boot, Interval, Timeline

UTC = 1_800_000_000_000
HOUR = 3_600_000
SYNCED = st.sampled_from([AnchorSource.NTP, AnchorSource.SERVER, AnchorSource.RTC])


@dataclass(frozen=True)
class Life:
    """One boot as it was: readings of its clock with the true time of each, and its anchors."""

    boot: BootId
    moments: tuple[tuple[int, int], ...]
    honest: tuple[Anchor, ...]
    lies: tuple[Anchor, ...] = ()

    def known(self, *, lies: bool = True) -> Boot:
        """What the server knows of it."""
        anchors = (*self.honest, *(self.lies if lies else ()))
        return Boot(self.boot, self.moments[0][0], self.moments[-1][0], anchors)


@st.composite
def lives(draw: st.DrawFn, *, anchors_min: int = 0) -> list[Life]:
    """Draw up to five boots with honest anchors; each boot's clock begins anew."""
    true = UTC
    found = []
    for number in range(draw(st.integers(1, 5))):
        true += draw(st.integers(0, 48 * HOUR))  # off, for nobody knows how long
        mono = draw(st.integers(0, HOUR))
        moments = [(mono, true)]
        for _ in range(draw(st.integers(0, 8))):
            step = draw(st.integers(1, 30 * HOUR))
            drift = step * DRIFT_PPM // 1_000_000
            mono, true = mono + step, true + step + draw(st.integers(-drift, drift))
            moments.append((mono, true))
        honest = []
        for at, utc in draw(st.lists(st.sampled_from(moments), min_size=anchors_min, max_size=5)):
            error = draw(st.integers(0, 16_000))
            honest.append(Anchor(at, utc + draw(st.integers(-error, error)), error, draw(SYNCED)))
        found.append(Life(BootId(f"{number:032x}"), tuple(moments), tuple(honest)))
    return found


def drift_ms(one: int, other: int) -> int:
    """Return how far a clock can have run off between two of its readings, rounded up."""
    return -(-abs(one - other) * DRIFT_PPM // 1_000_000)


@st.composite
def gross_lies(draw: st.DrawFn, life: Life) -> tuple[Anchor, ...]:
    """Draw anchors that an honest one of the same boot contradicts."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        at, true = draw(st.sampled_from(life.moments))
        against = draw(st.sampled_from(life.honest))
        error = draw(st.integers(0, 16_000))
        apart = error + 2 * against.error_ms + 2 * drift_ms(at, against.mono_ms) + 2
        apart += draw(st.integers(0, 60 * 365 * 24 * HOUR))
        utc = true + draw(st.sampled_from([apart, -apart]))
        found.append(Anchor(at, utc, error, AnchorSource.NTP))
    return tuple(found)


@st.composite
def any_lies(draw: st.DrawFn, life: Life) -> tuple[Anchor, ...]:
    """Draw anchors that may say anything, a little wrong or by years."""
    size = draw(st.sampled_from([20, 5_000, HOUR, 1000 * HOUR]))
    return tuple(
        Anchor(at, true + draw(st.integers(-size, size)), draw(st.integers(0, 9_000)), draw(SYNCED))
        for at, true in draw(st.lists(st.sampled_from(life.moments), max_size=4))
    )


def holds(placed: Interval, true: int) -> bool:
    """Return whether a moment lies in an interval, open sides included."""
    after = placed.lo_ms is None or placed.lo_ms <= true
    return after and (placed.hi_ms is None or true <= placed.hi_ms)


def is_within(narrow: Interval, wide: Interval) -> bool:
    """Return whether an interval lies in another."""
    low = wide.lo_ms is None or (narrow.lo_ms is not None and narrow.lo_ms >= wide.lo_ms)
    return low and (wide.hi_ms is None or (narrow.hi_ms is not None and narrow.hi_ms <= wide.hi_ms))


@given(lives())
def test_with_honest_sources_the_truth_is_always_inside(history: list[Life]) -> None:
    """Drift, reboots without a clock, boots that never synced: never excluded, never disputed."""
    timeline = Timeline(life.known() for life in history)
    for life in history:
        for at, true in life.moments:
            placed = timeline.place(life.boot, at)
            assert holds(placed, true)
            assert not placed.disputed


@given(lives(anchors_min=1), st.data())
def test_a_lie_that_an_honest_anchor_contradicts_never_excludes_the_truth(
    history: list[Life], data: st.DataObject
) -> None:
    """NTP that lies, a wall clock that stepped: the interval spans the lie and the truth."""
    history = [replace(life, lies=data.draw(gross_lies(life))) for life in history]
    timeline = Timeline(life.known() for life in history)
    for life in history:
        for at, true in life.moments:
            placed = timeline.place(life.boot, at)
            assert holds(placed, true)
            if life.lies:
                assert placed.disputed


@given(lives(anchors_min=1), st.data())
def test_boots_without_an_anchor_among_boots_that_are_lied_to(
    history: list[Life], data: st.DataObject
) -> None:
    """What bounds a boot from outside is sound, too, if each lie has an honest anchor beside it."""
    lied = [replace(life, lies=data.draw(gross_lies(life))) for life in history]
    bare = [replace(x, honest=(), lies=()) if data.draw(st.booleans()) else x for x in lied]
    timeline = Timeline(life.known() for life in bare)
    for life in bare:
        for at, true in life.moments:
            assert holds(timeline.place(life.boot, at), true)


@given(lives(anchors_min=1).map(lambda history: history[:1]), st.data())
def test_whatever_is_said_the_interval_meets_what_honest_anchors_say(
    history: list[Life], data: st.DataObject
) -> None:
    """A lie too small to be seen is off by less than the honest anchors' own interval is wide."""
    (life,) = history
    life = replace(life, lies=data.draw(any_lies(life)))
    told, honest = Timeline([life.known()]), Timeline([life.known(lies=False)])
    for at, true in life.moments:
        placed, sound = told.place(life.boot, at), honest.place(life.boot, at)
        assert placed.lo_ms is not None
        assert placed.hi_ms is not None
        assert sound.lo_ms is not None
        assert sound.hi_ms is not None
        assert placed.lo_ms <= sound.hi_ms
        assert sound.lo_ms <= placed.hi_ms
        width = sound.hi_ms - sound.lo_ms
        assert placed.lo_ms - width <= true <= placed.hi_ms + width


@given(lives(), st.data())
def test_what_becomes_known_only_narrows(history: list[Life], data: st.DataObject) -> None:
    """Anchors, records and whole boots that arrive later never widen or move an interval."""
    before: list[Boot] = []
    for life in history:
        boot = life.known()
        if data.draw(st.booleans()):
            continue  # nothing of this boot has arrived yet
        readings = [at for at, _ in life.moments]
        some = data.draw(st.lists(st.sampled_from(readings), min_size=1, max_size=4))
        kept = tuple(anchor for anchor in boot.anchors if data.draw(st.booleans()))
        reach = [*some, *(anchor.mono_ms for anchor in kept)]
        before.append(Boot(boot.boot, min(reach), max(reach), kept))
    early, late = Timeline(before), Timeline(life.known() for life in history)
    for boot in before:
        for at in (boot.first_mono_ms, boot.last_mono_ms):
            assert is_within(late.place(boot.boot, at), early.place(boot.boot, at))
