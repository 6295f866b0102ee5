"""Time ranges of pages: presets, the cells that fit, the ticks above them.

Pure. Times are Unix ms of UTC, a range includes its start and excludes its end.
Invariants: a range has at most CELLS_MAX cells; cells begin at whole multiples
of their length, so that the same stretch is the same cell on every page.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from linewatch_core.ids import ProbeId
from linewatch_server.web.questions import Questions

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

CELLS_MAX = 96
"""What a printed page and a narrow window still show legibly."""
RANGE_MS_MAX = 400 * DAY_MS
"""A year and the month around it."""

PRESETS = {
    "30min": 30 * MINUTE_MS,
    "2h": 2 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "24h": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
}
"""The ranges that end now, by their name in a link."""
_LONGEST_DEFAULT = "24h"

_SCALES = (
    (MINUTE_MS, 5),
    (2 * MINUTE_MS, 10),
    (10 * MINUTE_MS, 6),
    (20 * MINUTE_MS, 12),
    (HOUR_MS, 12),
    (2 * HOUR_MS, 12),
    (8 * HOUR_MS, 9),
    (DAY_MS, 7),
    (7 * DAY_MS, 4),
)
"""Cell lengths, and how many cells lie between two ticks of the time axis."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A stretch of UTC."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms

    def earlier(self) -> "TimeRange":
        """Return the range of the same length right before."""
        return TimeRange(self.from_ms - self.length_ms, self.from_ms)

    def later(self) -> "TimeRange":
        """Return the range of the same length right after."""
        return TimeRange(self.to_ms, self.to_ms + self.length_ms)


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a range: whole cells, so it may begin before and end after it."""

    range: TimeRange
    cell_ms: int
    cells_per_tick: int


def grid_of(wanted: TimeRange, *, cell_ms_min: int = MINUTE_MS) -> Grid:
    """Return the finest cells of which at most CELLS_MAX cover `wanted`."""
    for cell_ms, per_tick in _SCALES:
        from_ms = wanted.from_ms // cell_ms * cell_ms
        to_ms = -(-wanted.to_ms // cell_ms) * cell_ms
        if cell_ms >= cell_ms_min and (to_ms - from_ms) // cell_ms <= CELLS_MAX:
            return Grid(TimeRange(from_ms, to_ms), cell_ms, per_tick)
    raise ValueError(f"no cells for a range of {wanted.length_ms} ms")


def preset_range(name: str, *, now_ms: int) -> TimeRange:
    """Return the range of a preset: it ends with the cell in which now is."""
    length_ms = PRESETS[name]
    cell_ms = grid_of(TimeRange(0, length_ms)).cell_ms
    to_ms = (now_ms // cell_ms + 1) * cell_ms
    return TimeRange(to_ms - length_ms, to_ms)


def default_preset(questions: Questions, probes: Iterable[ProbeId], *, now_ms: int) -> str:
    """Return the shortest preset that holds all data of `probes`, or the one of 24 hours."""
    longest = preset_range(_LONGEST_DEFAULT, now_ms=now_ms)
    earliest_ms = now_ms
    for probe in probes:
        clock = questions.clock(probe)
        for reach in clock.ranges(0, longest.to_ms):
            placed_ms = clock.place(reach.epoch, reach.boot, reach.first_ms).middle_ms
            earliest_ms = min(earliest_ms, earliest_ms if placed_ms is None else placed_ms)
        if earliest_ms < longest.from_ms:
            break
    for name in PRESETS:
        if name == _LONGEST_DEFAULT:
            break
        if preset_range(name, now_ms=now_ms).from_ms <= earliest_ms < now_ms:
            return name
    return _LONGEST_DEFAULT
