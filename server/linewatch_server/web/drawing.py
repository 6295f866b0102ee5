"""Chooses the cells in which a range is drawn, by what has arrived and what drawing may cost.

Fine cells are counted from samples, which arrive last and must be opened one by
one; coarse ones from five-minute counts. Invariant: what is known by counts is
never shown as if nothing were known.
"""

from dataclasses import dataclass
from itertools import pairwise

from linewatch_core.errors import LimitError
from linewatch_core.ids import ProbeId
from linewatch_server.model.strips import Strips
from linewatch_server.web.questions import Questions
from linewatch_server.web.ranges import MINUTE_MS, Grid, TimeRange, grid_of

COARSE_CELL_MS = 10 * MINUTE_MS
"""From here on the index counts cells from five-minute counts."""


_EDGE_MS = 5 * MINUTE_MS
"""A window counts in the cell of its middle, so its samples may lie this far outside."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Strips and their cells; `awaits_samples`: finer ones would hide what counts tell."""

    grid: Grid
    strips: Strips
    awaits_samples: bool = False


def draw_strips(questions: Questions, wanted: TimeRange, *, probe: ProbeId | None = None) -> Drawn:
    """Return the finest strips of a range: coarse where only counts are there, or many samples."""
    grid = grid_of(wanted)
    coarse_grid = grid_of(wanted, cell_ms_min=COARSE_CELL_MS)
    if grid == coarse_grid:
        return Drawn(grid, _ask(questions, grid, probe))
    try:
        fine = _ask(questions, grid, probe)
    except LimitError:
        return Drawn(coarse_grid, _ask(questions, coarse_grid, probe))
    inner = _whole_cells(wanted)
    if inner.length_ms > 0:
        counted = questions.strips(inner.from_ms, inner.to_ms, COARSE_CELL_MS, probe=probe)
        if _lacks_samples(fine, counted):
            return Drawn(coarse_grid, _ask(questions, coarse_grid, probe), awaits_samples=True)
    return Drawn(grid, fine)


def _whole_cells(wanted: TimeRange) -> TimeRange:
    """Return the coarse cells that lie wholly in a range; empty, or less, if none does."""
    from_ms = -(-wanted.from_ms // COARSE_CELL_MS) * COARSE_CELL_MS
    return TimeRange(from_ms, wanted.to_ms // COARSE_CELL_MS * COARSE_CELL_MS)


def _lacks_samples(fine: Strips, counted: Strips) -> bool:
    """Return whether a line has counts at a time around which it has no sample."""
    sampled = {
        (row.probe, row.line): [
            start for start, cell in zip(fine.bounds, row.cells, strict=False) if cell.sent
        ]
        for row in fine.rows
    }
    for row in counted.rows:
        starts = sampled.get((row.probe, row.line), [])
        for cell, (begins, ends) in zip(row.cells, pairwise(counted.bounds), strict=True):
            around = range(begins - _EDGE_MS, ends + _EDGE_MS)
            if cell.sent and not any(start in around for start in starts):
                return True
    return False


def _ask(questions: Questions, grid: Grid, probe: ProbeId | None) -> Strips:
    return questions.strips(grid.range.from_ms, grid.range.to_ms, grid.cell_ms, probe=probe)
