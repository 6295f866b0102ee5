"""Windows gathered into runs count exactly as each one placed alone."""

from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.timebase import Boot, Interval, Timeline
from linewatch_server.model.strips import cell_bounds, is_uncertain
from linewatch_server.model.windows import runs
from tests.support.probes import boot_id

WINDOW_MS = 300_000
BOOT = boot_id("first")
UTC_MS = 1_800_000_000_000

anchors = st.lists(
    st.builds(
        lambda window, off_ms, error_ms: Anchor(
            window * WINDOW_MS, UTC_MS + window * WINDOW_MS + off_ms, error_ms, AnchorSource.NTP
        ),
        st.integers(0, 300),
        st.integers(-2_000_000, 2_000_000),
        st.integers(0, 3_000_000),
    ),
    max_size=5,
)
windows_of = st.sets(st.integers(0, 300), max_size=80).map(sorted)


@given(
    anchors=anchors,
    windows=windows_of,
    cell_ms=st.sampled_from([600_000, 1_200_000, 7_200_000]),
    begins=st.integers(-50, 100),
    length=st.integers(1, 250),
)
def test_a_run_is_its_windows(
    anchors: list[Anchor], windows: list[int], cell_ms: int, begins: int, length: int
) -> None:
    """Whatever the clock: each window once, in its own cell, as certain as it is alone."""
    timeline = Timeline([Boot(BOOT, 0, 301 * WINDOW_MS, tuple(anchors))])
    start = UTC_MS + begins * WINDOW_MS
    bounds = cell_bounds(start, start + length * WINDOW_MS, cell_ms)

    def place(window: int) -> Interval:
        return timeline.place(BOOT, window * WINDOW_MS + WINDOW_MS // 2)

    def cell(at: Interval) -> int | None:
        return None if at.middle_ms is None else bisect_right(bounds, at.middle_ms)

    alone = [(cell(at), is_uncertain(at, cell_ms)) for at in map(place, windows)]
    found = list(runs(windows, place, bounds=bounds, cell_ms=cell_ms))
    gathered = [
        (cell(at), is_uncertain(at, cell_ms)) for first, end, at in found for _ in range(first, end)
    ]
    assert [each for each, _ in gathered] == [each for each, _ in alone]
    uncertain = {each for each, unsure in alone if unsure}
    assert {each for each, unsure in gathered if unsure} == uncertain


def test_a_cell_costs_few_placings() -> None:
    """A week in cells of two hours: what is gathered is not placed one by one."""
    anchor = Anchor(0, UTC_MS, 20, AnchorSource.NTP)
    timeline = Timeline([Boot(BOOT, 0, 2016 * WINDOW_MS, (anchor,))])
    placed = []

    def place(window: int) -> Interval:
        placed.append(window)
        return timeline.place(BOOT, window * WINDOW_MS)

    bounds = cell_bounds(UTC_MS, UTC_MS + 2016 * WINDOW_MS, 7_200_000)
    found = list(runs(range(2016), place, bounds=bounds, cell_ms=7_200_000))
    assert sum(end - first for first, end, _ in found) == 2016
    assert len(found) < 2 * len(bounds)
    assert len(placed) < 2016 // 2
