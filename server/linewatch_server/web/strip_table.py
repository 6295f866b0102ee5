"""Strips as a table for a template: what each cell shows, and under which tick it stands.

Pure. A mark is one character (and `?` where the clock is unsure), so that a
cell reads without colour. Invariant: a mark depends on its own cell only.
"""

from dataclasses import dataclass

from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason, LineKind
from linewatch_server.model.strips import Cell, CellState, Strips
from linewatch_server.web.ranges import DAY_MS, Grid

ALL = "·"
"""At least 95 % answered."""
NONE = "X"
"""No check answered."""
NO_DATA = "–"
GAP_MARKS = {
    GapReason.STOPPED: "S",
    GapReason.KILLED: "K",
    GapReason.REBOOTED: "R",
    GapReason.STORE_FULL: "F",
    GapReason.STORE_DAMAGED: "D",
    GapReason.OVERRUN: "O",
}


@dataclass(frozen=True, slots=True)
class ShownCell:
    """One cell: its stretch, its letters, its style class, and what is behind them."""

    from_ms: int
    to_ms: int
    mark: str
    style: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Tick:
    """A stretch of the time axis between two ticks, and its cells as a slice.

    `label_ms` is None for a first stretch that begins between two ticks;
    `dated` says that the label needs its date.
    """

    label_ms: int | None
    dated: bool
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One line with its cells."""

    probe: ProbeId
    line: str
    kind: LineKind | None
    operator: str | None
    unplaced: int
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True, slots=True)
class StripTable:
    """The strips of one page."""

    grid: Grid
    ticks: tuple[Tick, ...]
    rows: tuple[ShownRow, ...]
    from_raw: bool


def build_table(strips: Strips, grid: Grid, *, now_ms: int) -> StripTable:
    """Return the table of strips that were counted over the cells of `grid`."""
    rows = tuple(
        ShownRow(
            row.probe,
            row.line,
            row.kind,
            row.operator,
            row.unplaced,
            tuple(
                show_cell(cell, strips.bounds[at], strips.bounds[at + 1], now_ms=now_ms)
                for at, cell in enumerate(row.cells)
            ),
        )
        for row in strips.rows
    )
    return StripTable(grid, ticks_of(strips.bounds, grid), rows, strips.from_raw)


def show_cell(cell: Cell, from_ms: int, to_ms: int, *, now_ms: int) -> ShownCell:
    """Return how a cell is shown; one that is not over yet is left blank, not called empty."""
    match cell.state:
        case CellState.DATA:
            mark, style = _share(cell)
            if cell.uncertain:
                mark, style = f"{mark}?", f"{style} unsure"
            if cell.gap is not None:
                style = f"{style} part"
        case CellState.GAP:
            mark, style = GAP_MARKS[cell.gap] if cell.gap else "G", "gap"
        case CellState.NO_DATA:
            mark, style = ("", "later") if to_ms > now_ms else (NO_DATA, "none")
    return ShownCell(from_ms, to_ms, mark, style, cell)


def ticks_of(bounds: tuple[int, ...], grid: Grid) -> tuple[Tick, ...]:
    """Return the ticks over cells that start at `bounds[:-1]`; they partition the cells."""
    tick_ms = grid.cell_ms * grid.cells_per_tick
    cells = len(bounds) - 1
    starts = [at for at in range(cells) if at == 0 or bounds[at] % tick_ms == 0]
    ticks = []
    day = None
    for first, end in zip(starts, [*starts[1:], cells], strict=True):
        if bounds[first] % tick_ms and end - first < grid.cells_per_tick:
            ticks.append(Tick(None, False, first, end))
            continue
        ticks.append(Tick(bounds[first], bounds[first] // DAY_MS != day, first, end))
        day = bounds[first] // DAY_MS
    return tuple(ticks)


def _share(cell: Cell) -> tuple[str, str]:
    if cell.answered == 0:
        return NONE, "sx"
    if cell.answered * 20 >= cell.sent * 19:
        return ALL, "s10"
    tenths = cell.answered * 10 // cell.sent
    return str(tenths), f"s{tenths}"
