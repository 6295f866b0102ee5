"""Strips: cells partition time, checks fall into exactly one, silence is never filled in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import LimitError
from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason, LineKind
from linewatch_core.timebase import Interval
from linewatch_server.model.strips import (
    CELLS_MAX,
    Cell,
    CellState,
    Counted,
    PlacedGap,
    StripRow,
    build_strips,
    cell_bounds,
)

PROBE = ProbeId("abcdefghijklmnop")
LINE = (PROBE, "fixed-1", LineKind.FIXED)


def at(lo: int | None, hi: int | None = None, *, disputed: bool = False) -> Interval:
    """Return an interval; of one moment if one is given."""
    return Interval(lo, lo if hi is None else hi, disputed)


def row(counted: list[Counted], gaps: list[PlacedGap], *, to_ms: int = 100) -> StripRow:
    """Return the one row over 0..to_ms in cells of ten."""
    bounds = cell_bounds(0, to_ms, 10)
    strips = build_strips([LINE], counted, gaps, bounds=bounds, cell_ms=10, from_raw=False)
    return strips.rows[0]


def one(lo: int, hi: int | None = None, *, disputed: bool = False) -> Counted:
    """Return one answered check."""
    return Counted(PROBE, "fixed-1", at(lo, hi, disputed=disputed), 1, 1)


@given(st.integers(0, 10**13), st.integers(1, 10**9), st.integers(1, 10**9))
def test_cells_partition_the_range(from_ms: int, length_ms: int, cell_ms: int) -> None:
    """Bounds ascend from the first to the last moment; all cells but the last are full."""
    if -(-length_ms // cell_ms) > CELLS_MAX:
        with pytest.raises(LimitError, match="choose a coarser cell"):
            cell_bounds(from_ms, from_ms + length_ms, cell_ms)
        return
    bounds = cell_bounds(from_ms, from_ms + length_ms, cell_ms)
    assert (bounds[0], bounds[-1]) == (from_ms, from_ms + length_ms)
    widths = [b - a for a, b in pairwise(bounds)]
    assert all(width == cell_ms for width in widths[:-1])
    assert 0 < widths[-1] <= cell_ms


@pytest.mark.parametrize(("from_ms", "to_ms", "cell_ms"), [(5, 5, 1), (6, 5, 1), (0, 5, 0)])
def test_an_empty_range_is_a_callers_bug(from_ms: int, to_ms: int, cell_ms: int) -> None:
    """There are no cells to draw."""
    with pytest.raises(ValueError, match="no cells"):
        cell_bounds(from_ms, to_ms, cell_ms)


@given(st.lists(st.integers(-50, 150), max_size=40))
def test_each_check_is_in_one_cell_and_cells_without_are_empty(moments: list[int]) -> None:
    """A cell counts exactly the checks of its own stretch, whatever its neighbours hold."""
    drawn = row([one(moment) for moment in moments], [])
    for place, cell in enumerate(drawn.cells):
        own = [m for m in moments if place * 10 <= m < place * 10 + 10]
        assert cell.sent == len(own)
        assert cell.state is (CellState.DATA if own else CellState.NO_DATA)


@given(
    st.lists(st.tuples(st.integers(-50, 150), st.integers(1, 60)), max_size=5),
    st.lists(st.integers(0, 99), max_size=10),
)
def test_gaps_fill_exactly_the_silent_cells_they_touch(
    spans: list[tuple[int, int]], moments: list[int]
) -> None:
    """Data wins over a gap in its cell, but the gap is still told."""
    gaps = [
        PlacedGap(PROBE, None, GapReason.STOPPED, at(begin), at(begin + length))
        for begin, length in spans
    ]
    drawn = row([one(moment) for moment in moments], gaps)
    for place, cell in enumerate(drawn.cells):
        touched = any(b < place * 10 + 10 and b + n > place * 10 for b, n in spans)
        measured = any(place * 10 <= m < place * 10 + 10 for m in moments)
        expected = CellState.GAP if touched else CellState.NO_DATA
        assert cell.state is (CellState.DATA if measured else expected)
        assert cell.gap is (GapReason.STOPPED if touched else None)


def test_only_what_is_wider_than_a_cell_or_disputed_is_uncertain() -> None:
    """The flag stands for times that cannot be told apart at this cell's width."""
    cells = row([one(0, 10), one(10, 21), one(30, 31, disputed=True)], []).cells
    assert [cell.uncertain for cell in cells[:4]] == [False, True, False, True]


def test_what_has_no_middle_is_counted_beside_the_row() -> None:
    """An open interval is drawn nowhere."""
    open_ended = Counted(PROBE, "fixed-1", Interval(5, None), 7, 3)
    drawn = row([open_ended], [])
    assert drawn.unplaced == 7
    assert {cell.state for cell in drawn.cells} == {CellState.NO_DATA}


def test_a_gap_that_cannot_be_placed_is_not_drawn() -> None:
    """Half a gap would be a guess."""
    unknown = PlacedGap(PROBE, None, GapReason.KILLED, Interval(None, 20), at(40))
    assert row([], [unknown]).cells[3] == Cell(0, 0, CellState.NO_DATA, None, False)


def test_checks_of_a_line_that_nobody_described_get_a_row() -> None:
    """The line's description may still be on its way."""
    bounds = cell_bounds(0, 20, 10)
    stray = Counted(PROBE, "mobile-1", at(5), 2, 1)
    strips = build_strips([LINE], [stray], [], bounds=bounds, cell_ms=10, from_raw=True)
    assert [(r.line, r.kind) for r in strips.rows] == [
        ("fixed-1", LineKind.FIXED),
        ("mobile-1", None),
    ]
    assert strips.from_raw
