"""Which cells a range is drawn in."""

from pathlib import Path

from linewatch_core.records import Body, BootStarted
from linewatch_server.index.queries import Queries
from linewatch_server.rebuild import rebuild
from linewatch_server.web.drawing import draw_strips
from linewatch_server.web.ranges import MINUTE_MS, TimeRange
from tests.support.example_fleet import NOW_MS, Life, queries_of
from tests.support.probes import ProbeWriter, archive_of, sample
from tests.support.segments import recipient_secret


def _range(from_min: int, to_min: int) -> TimeRange:
    return TimeRange(NOW_MS - from_min * MINUTE_MS, NOW_MS - to_min * MINUTE_MS)


def test_samples_make_fine_cells(day: Queries) -> None:
    """Where samples of all lines are there, cells are a minute long."""
    drawn = draw_strips(day, _range(30, 0))
    assert drawn.grid.cell_ms == MINUTE_MS
    assert drawn.strips.from_raw


def test_counts_show_where_samples_have_not_come(day: Queries) -> None:
    """A short range of which only counts have arrived is drawn from them, not called empty."""
    drawn = draw_strips(day, _range(180, 160))
    assert drawn.grid.cell_ms == 10 * MINUTE_MS
    assert not drawn.strips.from_raw
    assert all(cell.sent for row in drawn.strips.rows[:4] for cell in row.cells)


def test_nothing_measured_stays_fine(half_hour: Queries) -> None:
    """A minute in which nothing was measured is not drawn as the ten minutes around it."""
    drawn = draw_strips(half_hour, _range(28, 27))
    assert drawn.grid.cell_ms == MINUTE_MS
    assert {cell.sent for row in drawn.strips.rows for cell in row.cells} == {0}


def test_one_part_without_samples_makes_all_coarse(day: Queries) -> None:
    """Samples of the last half hour do not make the half hour before look unmeasured."""
    drawn = draw_strips(day, _range(60, 0))
    assert drawn.awaits_samples
    assert drawn.grid.cell_ms == 10 * MINUTE_MS
    assert all(cell.sent for row in drawn.strips.rows for cell in row.cells)


def test_a_stop_alone_keeps_cells_fine(tmp_path: Path) -> None:
    """The counts of a window that a stop cut short are not taken for missing samples."""
    life = Life("cut", NOW_MS - 27 * MINUTE_MS, NOW_MS, 5 * MINUTE_MS)
    stopped_ms = life.mono(NOW_MS - 10 * MINUTE_MS - 10_000)
    writer = ProbeWriter("cut")
    events: list[Body] = [BootStarted(life.mono_ms, "0.1.0"), *life.anchors()]
    bodies = [sample(at) for at in range(life.mono_ms, stopped_ms, 30_000)]
    segments = [writer.close(life.boot, events), writer.close(life.boot, bodies)]
    archive_of(tmp_path, writer.enrolment(), *segments)
    rebuild(tmp_path, recipient_secrets=[recipient_secret("fleet")])
    counted = queries_of(tmp_path).strips(NOW_MS - 10 * MINUTE_MS, NOW_MS, 10 * MINUTE_MS)
    drawn = draw_strips(queries_of(tmp_path), _range(30, 0))
    assert counted.rows[0].cells[0].sent > 0
    assert drawn.grid.cell_ms == MINUTE_MS
    assert [cell.sent > 0 for cell in drawn.strips.rows[0].cells][-11:] == [True] + [False] * 10
