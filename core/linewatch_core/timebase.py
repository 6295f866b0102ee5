"""From (boot, monotonic) to an interval of UTC, by anchors; exact integer milliseconds.

Knows no clock and no storage. Invariant: if every anchor is honest and every
clock runs within `DRIFT_PPM` of true time, the true moment lies inside the
interval, and a further anchor only narrows it. Anchors that contradict each
other widen it and set `disputed`; nothing picks a winner. Source: docs/wire-format.md, "Time".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from linewatch_core.cones import FAST, SCALE, SLOW, Cones
from linewatch_core.ids import BootId
from linewatch_core.records import Anchor, AnchorSource


@dataclass(frozen=True, slots=True)
class Interval:
    """The moments of UTC (Unix ms, both ends included) at which something can have happened.

    Attributes:
        lo_ms, hi_ms: the bounds; None where nothing bounds that side.
        disputed: anchors contradict each other; the interval spans what they say.
    """

    lo_ms: int | None
    hi_ms: int | None
    disputed: bool = False

    @property
    def middle_ms(self) -> int | None:
        """The middle of a closed interval, for drawing only; None if a side is open."""
        if self.lo_ms is None or self.hi_ms is None:
            return None
        return (self.lo_ms + self.hi_ms) // 2

    @property
    def width_ms(self) -> int | None:
        """How wide a closed interval is; None if a side is open."""
        if self.lo_ms is None or self.hi_ms is None:
            return None
        return self.hi_ms - self.lo_ms


@dataclass(frozen=True, slots=True)
class Boot:
    """What is known of one boot: the monotonic range of its records, and its anchors."""

    boot: BootId
    first_mono_ms: int
    last_mono_ms: int
    anchors: tuple[Anchor, ...] = ()


class Timeline:
    """The boots of one probe in their order, as a map from (boot, mono_ms) to UTC.

    An anchor whose source is `nitz` places nothing: it is the mobile operator's
    own word. Nor does one with a negative error. What lies between two boots
    bounds both: a boot's records come after the previous boot's last one and
    before the next boot's first.
    """

    def __init__(self, boots: Iterable[Boot]) -> None:
        """Build from boots in the order in which they happened; each boot id once."""
        self._boots = tuple(boots)
        spans = [_Span(boot) for boot in self._boots]
        self._spans = {boot.boot: span for boot, span in zip(self._boots, spans, strict=True)}
        if len(self._spans) != len(spans):
            raise ValueError("a boot is listed twice in one timeline")
        carried: _Limit | None = None
        for span in spans:
            carried = span.follow(carried)
        carried = None
        for span in reversed(spans):
            carried = span.precede(carried)

    @property
    def boots(self) -> tuple[Boot, ...]:
        """The boots, in their order."""
        return self._boots

    def place(self, boot: BootId, mono_ms: int) -> Interval:
        """Return when the clock of `boot` read `mono_ms`; unbounded for an unknown boot."""
        span = self._spans.get(boot)
        if span is None:
            return Interval(None, None)
        lo, hi = span.bounds(mono_ms)
        return Interval(
            None if lo is None else lo // SCALE,
            None if hi is None else -(-hi // SCALE),
            span.disputed,
        )

    def mono_range(self, boot: BootId, from_ms: int, to_ms: int) -> tuple[int, int] | None:
        """Return the first and last mono_ms of `boot` whose interval meets [from_ms, to_ms].

        Only the range of the boot's known records is looked at. None if no
        record of the boot can lie there, or the boot is unknown.
        """
        span = self._spans.get(boot)
        if span is None:
            return None
        low, high = span.boot.first_mono_ms, span.boot.last_mono_ms

        def late_enough(mono_ms: int) -> bool:
            hi = self.place(boot, mono_ms).hi_ms
            return hi is None or hi >= from_ms

        def too_late(mono_ms: int) -> bool:
            lo = self.place(boot, mono_ms).lo_ms
            return lo is not None and lo > to_ms

        first = _first_true(low, high + 1, late_enough)
        last = _first_true(low, high + 1, too_late) - 1
        return (first, last) if first <= last else None


def _first_true(low: int, high: int, test: Callable[[int], bool]) -> int:
    """Return the least number of low..high-1 that passes a monotone test, or `high`."""
    while low < high:
        middle = (low + high) // 2
        if test(middle):
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(frozen=True, slots=True)
class _Limit:
    """A scaled moment that a neighbour of a boot cannot pass, and whether it is disputed."""

    at: int
    disputed: bool


class _Span:
    """One boot with what bounds it: its own cones, the boot before and the boot after."""

    __slots__ = ("_after", "_before", "_cones", "_hull", "boot")

    def __init__(self, boot: Boot) -> None:
        usable = [a for a in boot.anchors if a.source is not AnchorSource.NITZ and a.error_ms >= 0]
        self.boot = boot
        self._cones = Cones(usable) if usable else None
        self._before: _Limit | None = None
        self._after: _Limit | None = None
        self._hull = False

    @property
    def disputed(self) -> bool:
        if self._hull or (self._cones is not None and self._cones.disputed):
            return True
        limits = (self._before, self._after)
        return self._cones is None and any(limit and limit.disputed for limit in limits)

    def follow(self, previous: _Limit | None) -> _Limit | None:
        """Take the least moment of the previous boot's end; return that of this one's."""
        self._before = previous
        first, last = self.boot.first_mono_ms, self.boot.last_mono_ms
        if self._cones is None:
            if previous is None:
                return None
            return _Limit(previous.at + (last - first) * SLOW, previous.disputed)
        own = self._cones.bounds(last)[0]
        if previous is not None:
            if previous.at > self._cones.bounds(first)[1]:
                self._hull = True
            else:
                own = max(own, previous.at + (last - first) * SLOW)
        return _Limit(own, self._cones.disputed or self._hull)

    def precede(self, following: _Limit | None) -> _Limit | None:
        """Take the greatest moment of the next boot's start; return that of this one's."""
        self._after = following
        first, last = self.boot.first_mono_ms, self.boot.last_mono_ms
        if self._cones is None:
            if following is None:
                return None
            at = following.at - (last - first) * SLOW
            if self._before is not None and self._before.at > at:
                self._hull = True
            return _Limit(at, following.disputed or self._hull)
        own = self._cones.bounds(first)[1]
        if following is not None:
            if following.at < self._cones.bounds(last)[0]:
                self._hull = True
            else:
                own = min(own, following.at - (last - first) * SLOW)
        if self._before is not None and self._before.at > own:
            self._hull = True
        return _Limit(own, self._cones.disputed or self._hull)

    def bounds(self, mono_ms: int) -> tuple[int | None, int | None]:
        """Return the scaled bounds at `mono_ms`; None for an open side."""
        first, last = self.boot.first_mono_ms, self.boot.last_mono_ms
        lows, highs = [], []
        if self._before is not None:
            slope = SLOW if mono_ms >= first else FAST
            lows.append(self._before.at + (mono_ms - first) * slope)
        if self._after is not None:
            slope = SLOW if mono_ms <= last else FAST
            highs.append(self._after.at + (mono_ms - last) * slope)
        if self._cones is not None:
            low, high = self._cones.bounds(mono_ms)
            lows.append(low)
            highs.append(high)
        if self._hull:
            return min(lows + highs), max(lows + highs)
        return max(lows, default=None), min(highs, default=None)
