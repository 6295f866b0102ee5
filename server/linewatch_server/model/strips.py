"""Strips: one row a line, one cell a stretch of UTC; what each cell may honestly say.

Pure. Invariants: the cells partition the time range; a cell without checks is
`no data` or a known `gap`, whatever its neighbours are; checks whose time
nothing tells are counted beside the row and drawn nowhere.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from linewatch_core.errors import LimitError
from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason, LineKind
from linewatch_core.timebase import Interval

CELLS_MAX = 5_000
"""More cells than any page can show: a week of minutes has 10,080, a year of hours 8,760."""


class CellState(StrEnum):
    """What a cell shows: checks that ran, a gap that is accounted for, or nothing known."""

    DATA = "data"
    GAP = "gap"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Cell:
    """One stretch of time of one line.

    Attributes:
        sent, answered: checks that ran in it, and those without failure.
        gap: the reason of a known gap that touches it, beside data or alone.
        uncertain: some of its checks are placed by a bound wider than the cell,
            or by anchors that contradict each other.
    """

    sent: int
    answered: int
    state: CellState
    gap: GapReason | None
    uncertain: bool


@dataclass(frozen=True, slots=True)
class StripRow:
    """One line of one probe. `kind` is None while the line's description has not arrived.

    `operator` is any name that tells operators apart, if the probe knows one. `unplaced`
    counts checks that may belong to the range, but nothing tells when they ran.
    """

    probe: ProbeId
    line: str
    kind: LineKind | None
    cells: tuple[Cell, ...]
    unplaced: int
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Strips:
    """Rows over the same cells. Cell i covers bounds[i] to bounds[i + 1], the end excluded.

    `from_raw` says that cells this fine count only the raw samples that have arrived.
    """

    bounds: tuple[int, ...]
    rows: tuple[StripRow, ...]
    from_raw: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """Checks of one line that ran at about the same time."""

    probe: ProbeId
    line: str
    at: Interval
    sent: int
    answered: int


@dataclass(frozen=True, slots=True)
class PlacedGap:
    """A known gap of one line, or of all lines of its probe (None)."""

    probe: ProbeId
    line: str | None
    reason: GapReason
    begins: Interval
    ends: Interval


def cell_bounds(from_ms: int, to_ms: int, cell_ms: int) -> tuple[int, ...]:
    """Return the bounds of the cells: steps of `cell_ms` from `from_ms`, the last at `to_ms`.

    Raises:
        ValueError: the range is empty or the cell has no length (a caller's bug).
        LimitError: there would be more than CELLS_MAX cells.
    """
    if to_ms <= from_ms or cell_ms <= 0:
        raise ValueError(f"no cells of {cell_ms} ms between {from_ms} and {to_ms}")
    if -(-(to_ms - from_ms) // cell_ms) > CELLS_MAX:
        raise LimitError(
            f"cannot draw cells of {cell_ms} ms over {to_ms - from_ms} ms: "
            f"more than {CELLS_MAX}; choose a coarser cell or a shorter range"
        )
    return (*range(from_ms, to_ms, cell_ms), to_ms)


def build_strips(
    lines: Iterable[tuple[ProbeId, str, LineKind | None]],
    counted: Iterable[Counted],
    gaps: Iterable[PlacedGap],
    *,
    bounds: Sequence[int],
    cell_ms: int,
    from_raw: bool,
    operators: Mapping[tuple[ProbeId, str], str | None] | None = None,
) -> Strips:
    """Return the strips of `lines`; checks of a line that is not among them add a row.

    Checks fall into the cell of the middle of their interval, and nowhere else.
    """
    kinds = {(probe, line): kind for probe, line, kind in lines}
    placed: defaultdict[tuple[ProbeId, str], dict[int, list[Counted]]] = defaultdict(dict)
    unplaced: Counter[tuple[ProbeId, str]] = Counter()
    for item in counted:
        key = (item.probe, item.line)
        kinds.setdefault(key, None)
        middle = item.at.middle_ms
        if middle is None:
            unplaced[key] += item.sent
        elif bounds[0] <= middle < bounds[-1]:
            placed[key].setdefault((middle - bounds[0]) // cell_ms, []).append(item)
    stretches: defaultdict[ProbeId, list[tuple[PlacedGap, tuple[int, int]]]] = defaultdict(list)
    for gap in gaps:
        if (stretch := _stretch(gap)) is not None:
            stretches[gap.probe].append((gap, stretch))
    rows = []
    for (probe, line), kind in sorted(kinds.items(), key=lambda item: item[0]):
        found = placed[probe, line]
        reasons = _gaps_of_cells(
            [
                (gap.reason, stretch)
                for gap, stretch in stretches[probe]
                if gap.line in (None, line)
            ],
            bounds,
            cell_ms,
        )
        cells = tuple(
            _cell(found.get(at, ()), reasons.get(at), cell_ms) for at in range(len(bounds) - 1)
        )
        operator = (operators or {}).get((probe, line))
        rows.append(StripRow(probe, line, kind, cells, unplaced[probe, line], operator))
    return Strips(tuple(bounds), tuple(rows), from_raw)


def is_uncertain(at: Interval, within_ms: int) -> bool:
    """Return whether an interval is disputed, open, or wider than `within_ms`."""
    return at.disputed or at.width_ms is None or at.width_ms > within_ms


def _cell(items: Sequence[Counted], gap: GapReason | None, cell_ms: int) -> Cell:
    sent = sum(item.sent for item in items)
    if not sent:
        state = CellState.NO_DATA if gap is None else CellState.GAP
        return Cell(0, 0, state, gap, False)
    answered = sum(item.answered for item in items)
    uncertain = any(is_uncertain(item.at, cell_ms) for item in items)
    return Cell(sent, answered, CellState.DATA, gap, uncertain)


def _stretch(gap: PlacedGap) -> tuple[int, int] | None:
    """Return a gap's likely extent for drawing; None if either end cannot be placed."""
    begins, ends = gap.begins.middle_ms, gap.ends.middle_ms
    if begins is None or ends is None or ends <= begins:
        return None
    return begins, ends


def _gaps_of_cells(
    gaps: Sequence[tuple[GapReason, tuple[int, int]]], bounds: Sequence[int], cell_ms: int
) -> dict[int, GapReason]:
    reasons: dict[int, GapReason] = {}
    for reason, (begins, ends) in gaps:
        first = max(0, (begins - bounds[0]) // cell_ms)
        last = min(len(bounds) - 2, (ends - 1 - bounds[0]) // cell_ms)
        for at in range(first, last + 1):
            reasons.setdefault(at, reason)
    return reasons
