"""What a cell shows, and the ticks above the cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason, LineKind
from linewatch_server.model.strips import Cell, CellState, StripRow, Strips
from linewatch_server.web.ranges import MINUTE_MS, TimeRange, grid_of
from linewatch_server.web.strip_table import GAP_MARKS, build_table, show_cell, ticks_of

NOW_MS = 10 * MINUTE_MS
cells = st.one_of(
    st.builds(
        lambda sent, missing, gap, uncertain: Cell(
            sent, max(0, sent - missing), CellState.DATA, gap, uncertain
        ),
        st.integers(1, 500),
        st.integers(0, 500),
        st.none() | st.sampled_from(GapReason),
        st.booleans(),
    ),
    st.builds(lambda gap: Cell(0, 0, CellState.GAP, gap, False), st.sampled_from(GapReason)),
    st.just(Cell(0, 0, CellState.NO_DATA, None, False)),
)


def _mark(cell: Cell, *, to_ms: int = MINUTE_MS) -> tuple[str, str]:
    shown = show_cell(cell, to_ms - MINUTE_MS, to_ms, now_ms=NOW_MS)
    return shown.mark, shown.style


@pytest.mark.parametrize(
    ("answered", "mark"),
    [(100, "·"), (95, "·"), (94, "9"), (90, "9"), (89, "8"), (50, "5"), (10, "1"), (9, "0")],
)
def test_marks_of_shares(answered: int, mark: str) -> None:
    """The mark is the share in tenths, with a sign of its own for nearly all."""
    assert _mark(Cell(100, answered, CellState.DATA, None, False))[0] == mark


def test_none_answered_differs_from_no_data() -> None:
    """Checks that all failed, no data and a known gap are three different things."""
    none = _mark(Cell(20, 0, CellState.DATA, None, False))
    empty = _mark(Cell(0, 0, CellState.NO_DATA, None, False))
    gap = _mark(Cell(0, 0, CellState.GAP, GapReason.REBOOTED, False))
    assert (none, empty, gap) == (("X", "sx"), ("–", "none"), ("R", "gap"))


def test_each_reason_has_its_letter() -> None:
    """No two reasons of a gap look the same."""
    assert set(GAP_MARKS) == set(GapReason)
    assert len(set(GAP_MARKS.values())) == len(GapReason)


def test_uncertain_and_partly_measured_show() -> None:
    """A vague clock adds a question mark, a gap within data a style."""
    assert _mark(Cell(10, 10, CellState.DATA, None, True)) == ("·?", "s10 unsure")
    assert _mark(Cell(10, 4, CellState.DATA, GapReason.KILLED, False)) == ("4", "s4 part")


def test_what_is_not_over_yet_is_blank() -> None:
    """A cell that still runs is not called empty; once it is over, it is."""
    empty = Cell(0, 0, CellState.NO_DATA, None, False)
    assert _mark(empty, to_ms=NOW_MS + 1) == ("", "later")
    assert _mark(empty, to_ms=NOW_MS) == ("–", "none")


@given(st.lists(cells, min_size=1, max_size=96), st.integers(0, 95), cells)
def test_a_cell_depends_on_itself_only(row: list[Cell], at: int, other: Cell) -> None:
    """Changing one cell changes no other: nothing is drawn from a neighbour."""
    at %= len(row)
    grid = grid_of(TimeRange(0, len(row) * MINUTE_MS))
    bounds = tuple(range(0, (len(row) + 1) * MINUTE_MS, MINUTE_MS))

    def shown(cells: list[Cell]) -> list[str]:
        strip = StripRow(ProbeId("a" * 16), "fixed-1", LineKind.FIXED, tuple(cells), 0)
        table = build_table(Strips(bounds, (strip,), True), grid, now_ms=NOW_MS)
        return [cell.mark for cell in table.rows[0].cells]

    before, after = shown(row), shown([*row[:at], other, *row[at + 1 :]])
    assert before[:at] == after[:at]
    assert before[at + 1 :] == after[at + 1 :]


@given(st.integers(0, 10**9), st.integers(1, 400 * 24 * 60))
def test_ticks_partition_the_cells(start: int, minutes: int) -> None:
    """Every cell stands under exactly one tick, and a labelled tick is where its label says."""
    grid = grid_of(TimeRange(start * MINUTE_MS, (start + minutes) * MINUTE_MS))
    bounds = (*range(grid.range.from_ms, grid.range.to_ms, grid.cell_ms), grid.range.to_ms)
    ticks = ticks_of(bounds, grid)
    assert [at for tick in ticks for at in range(tick.first, tick.end)] == [*range(len(bounds) - 1)]
    assert all(tick.end - tick.first <= grid.cells_per_tick for tick in ticks)
    assert all(tick.label_ms in {None, bounds[tick.first]} for tick in ticks)
