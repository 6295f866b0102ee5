"""Time ranges of pages and the cells that fit them."""

from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.ids import ProbeId
from linewatch_server.index.queries import Queries
from linewatch_server.web.questions import Questions
from linewatch_server.web.ranges import (
    CELLS_MAX,
    MINUTE_MS,
    PRESETS,
    RANGE_MS_MAX,
    TimeRange,
    default_preset,
    grid_of,
    preset_range,
)
from tests.support.example_fleet import HOUR_MS, NOW_MS

moments = st.integers(min_value=0, max_value=4_102_444_800_000)
lengths = st.integers(min_value=1, max_value=RANGE_MS_MAX)


@given(moments, lengths)
def test_grid_covers_the_range(start: int, length: int) -> None:
    """Whole cells, few enough to read, cover what was asked for and less than a cell more."""
    grid = grid_of(TimeRange(start, start + length))
    assert grid.range.from_ms <= start < grid.range.from_ms + grid.cell_ms
    assert grid.range.to_ms - grid.cell_ms < start + length <= grid.range.to_ms
    assert grid.range.from_ms % grid.cell_ms == grid.range.to_ms % grid.cell_ms == 0
    assert grid.range.length_ms // grid.cell_ms <= CELLS_MAX


@given(moments, lengths)
def test_coarser_cells_on_demand(start: int, length: int) -> None:
    """Cells are never finer than the least length that is asked for."""
    grid = grid_of(TimeRange(start, start + length), cell_ms_min=10 * MINUTE_MS)
    assert grid.cell_ms >= 10 * MINUTE_MS


@given(st.sampled_from(list(PRESETS)), moments)
def test_presets_end_now(name: str, now_ms: int) -> None:
    """A preset has its length, and now lies in its last cell."""
    wanted = preset_range(name, now_ms=now_ms)
    grid = grid_of(wanted)
    assert wanted.length_ms == PRESETS[name]
    assert grid.range == wanted
    assert wanted.to_ms - grid.cell_ms <= now_ms < wanted.to_ms


def test_cells_of_the_presets() -> None:
    """The presets have the cells that docs/coordinator.md tells."""
    minutes = {
        name: grid_of(preset_range(name, now_ms=NOW_MS)).cell_ms // MINUTE_MS for name in PRESETS
    }
    assert minutes == {"30min": 1, "2h": 2, "6h": 10, "24h": 20, "7d": 120, "30d": 480}


def test_earlier_and_later_join() -> None:
    """The ranges before and after touch a range without overlap."""
    wanted = TimeRange(1_000, 3_000)
    assert wanted.earlier() == TimeRange(-1_000, 1_000)
    assert wanted.later() == TimeRange(3_000, 5_000)


def _default(questions: Questions, *, now_ms: int) -> str:
    probes = [view.probe for view in questions.fleet()]
    return default_preset(questions, probes, now_ms=now_ms)


def test_default_is_the_shortest_that_holds_all(half_hour: Queries) -> None:
    """Half an hour of data shows as such at first, and in ever longer ranges as it ages."""
    assert _default(half_hour, now_ms=NOW_MS) == "30min"
    assert _default(half_hour, now_ms=NOW_MS + HOUR_MS) == "2h"
    assert _default(half_hour, now_ms=NOW_MS + 4 * HOUR_MS) == "6h"
    assert _default(half_hour, now_ms=NOW_MS + 40 * HOUR_MS) == "24h"


def test_default_is_a_day_at_most(day: Queries) -> None:
    """Data older than a day, or none at all, shows as the last 24 hours."""
    assert _default(day, now_ms=NOW_MS) == "24h"
    assert default_preset(day, [ProbeId("a" * 16)], now_ms=NOW_MS) == "24h"
