"""The cones of UTC that anchors open around them as a boot's clock may drift.

All bounds here are integers scaled by `SCALE`: UTC milliseconds times one
million, so that parts per million of drift stay exact. Invariant: `Cones`
never gives an empty interval. Used by timebase.py only.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from linewatch_core.records import Anchor

DRIFT_PPM = 500
"""How far a boot's clock may run from true time: ten times a Pi's crystal, hot and aged."""
SCALE = 1_000_000
SLOW = SCALE - DRIFT_PPM
FAST = SCALE + DRIFT_PPM


class _Edge:
    """One side of many cones at once: the greatest (or least) of their bounds at any moment.

    A cone's bound is a straight line on either side of its anchor, so that the
    best over all anchors before a moment, and over all after, are running
    extremes of the lines' offsets: a look-up costs one bisection.
    """

    __slots__ = ("_after", "_before", "_monos", "_pick", "_slope_after", "_slope_before")

    def __init__(
        self,
        points: Sequence[tuple[int, int]],
        *,
        slope_before: int,
        slope_after: int,
        pick: Callable[[int, int], int],
    ) -> None:
        """Build from (mono_ms, UTC bound in ms) sorted by mono_ms, at least one.

        `slope_before` holds for moments after an anchor (anchors *before* the
        moment), `slope_after` for moments before it.
        """
        self._monos = [mono for mono, _ in points]
        self._pick = pick
        self._slope_before, self._slope_after = slope_before, slope_after
        self._before = list(
            accumulate((utc * SCALE - mono * slope_before for mono, utc in points), pick)
        )
        after = accumulate(
            (utc * SCALE - mono * slope_after for mono, utc in reversed(points)), pick
        )
        self._after = list(after)[::-1]

    def at(self, mono_ms: int) -> int:
        """Return the scaled bound at `mono_ms`."""
        split = bisect_right(self._monos, mono_ms)
        if split == 0:
            return self._after[0] + mono_ms * self._slope_after
        before = self._before[split - 1] + mono_ms * self._slope_before
        if split == len(self._monos):
            return before
        return self._pick(before, self._after[split] + mono_ms * self._slope_after)


class Cones:
    """The cones of some anchors: their intersection, or the hull of those that contradict."""

    __slots__ = ("_edges", "disputed")

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        ordered = sorted(anchors, key=lambda a: (a.mono_ms, a.utc_ms, a.error_ms))
        low, high = _edges(ordered, tight=True)
        fighting: list[Anchor] = []
        agreeing: list[Anchor] = []
        for anchor in ordered:
            agrees = (
                low.at(anchor.mono_ms) <= (anchor.utc_ms + anchor.error_ms) * SCALE
                and high.at(anchor.mono_ms) >= (anchor.utc_ms - anchor.error_ms) * SCALE
            )
            (agreeing if agrees else fighting).append(anchor)
        self.disputed = bool(fighting)
        self._edges = [(low, high)]
        if fighting:
            # Anchors that agree with all others still narrow the hull of the rest.
            self._edges = [_edges(fighting, tight=False)]
            if agreeing:
                self._edges.append(_edges(agreeing, tight=True))

    def bounds(self, mono_ms: int) -> tuple[int, int]:
        """Return the scaled bounds at `mono_ms`; never empty."""
        pairs = [(low.at(mono_ms), high.at(mono_ms)) for low, high in self._edges]
        return max(low for low, _ in pairs), min(high for _, high in pairs)


def _edges(anchors: Sequence[Anchor], *, tight: bool) -> tuple[_Edge, _Edge]:
    lows = [(a.mono_ms, a.utc_ms - a.error_ms) for a in anchors]
    highs = [(a.mono_ms, a.utc_ms + a.error_ms) for a in anchors]
    return (
        _Edge(lows, slope_before=SLOW, slope_after=FAST, pick=max if tight else min),
        _Edge(highs, slope_before=FAST, slope_after=SLOW, pick=min if tight else max),
    )
