"""Five-minute windows of a boot's clock, gathered into the cells that they surely fall into.

Pure. Placing a moment in UTC costs more than counting what happened at it, and a week
of a fleet has millions of windows. Both bounds of an interval only grow with a boot's
clock, so all windows between two of one cell are in that cell, too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

from linewatch_core.records import ROLL_WINDOW_MS
from linewatch_core.timebase import Interval
from linewatch_server.model.strips import is_uncertain


def runs(
    windows: Sequence[int],
    place: Callable[[int], Interval],
    *,
    bounds: Sequence[int],
    cell_ms: int,
) -> Iterator[tuple[int, int, Interval]]:
    """Yield (first, end, at): windows[first:end] count in one cell as if all were at `at`.

    Args:
        windows: ascending, of one boot.
        place: where the middle of a window lies; its bounds never go back.
        bounds, cell_ms: of the cells, as `strips.cell_bounds` gives them.
    """
    longest = cell_ms // ROLL_WINDOW_MS + 1
    first = 0
    while first < len(windows):
        at = place(windows[first])

        def leaves(index: int, at: Interval = at) -> bool:
            return not _is_one(at, place(windows[index]), bounds, cell_ms)

        ahead = range(first + 1, min(first + longest, len(windows)))
        end = first + 1 + bisect_left(ahead, True, key=leaves)
        yield first, end, at
        first = end


def _is_one(at: Interval, later: Interval, bounds: Sequence[int], cell_ms: int) -> bool:
    """Return whether all from `at` to `later` fall into one cell, and are as uncertain as `at`."""
    if _cell(at, bounds) != _cell(later, bounds):
        return False
    if is_uncertain(at, cell_ms) or at.lo_ms is None or later.hi_ms is None:
        return True
    return later.hi_ms - at.lo_ms <= cell_ms


def _cell(at: Interval, bounds: Sequence[int]) -> int | None:
    return None if at.middle_ms is None else bisect_right(bounds, at.middle_ms)
