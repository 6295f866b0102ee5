"""How the figures of a line are counted, from samples or from five-minute windows."""

import pytest

from linewatch_core.ids import ProbeId
from linewatch_core.records import Role
from linewatch_server.index.queries import Queries
from linewatch_server.web.probe_data import check_line, count_targets, find_probe
from linewatch_server.web.ranges import MINUTE_MS, TimeRange
from linewatch_server.web.refusals import NotFoundError
from tests.support.example_fleet import NOW_MS


def _range(from_min: int, to_min: int) -> TimeRange:
    return TimeRange(NOW_MS - from_min * MINUTE_MS, NOW_MS - to_min * MINUTE_MS)


@pytest.mark.parametrize(
    ("wanted", "from_samples"),
    [
        (_range(20, 0), True),
        (_range(2, 1), True),
        (_range(90, 0), False),
        (_range(90, 80), False),
        (_range(48, 20), False),
    ],
)
def test_source_of_the_figures(day: Queries, wanted: TimeRange, from_samples: bool) -> None:
    """Short ranges are counted exactly, where most of their samples are here; else by windows."""
    counted = count_targets(day, day.fleet()[0].probe, "fixed-1", wanted)
    assert counted.from_samples is from_samples
    assert counted.sent >= 18 * wanted.length_ms // MINUTE_MS * 8 // 10


def test_samples_know_their_roles(half_hour: Queries) -> None:
    """Figures from samples carry roles, counts and exact times; sums leave gateways out."""
    counted = count_targets(half_hour, half_hour.fleet()[0].probe, "mobile-1", _range(10, 8))
    views = {view.target: view for view in counted.targets}
    assert views["gateway"].role is Role.GATEWAY
    assert views["gateway"].answered == 4
    assert views["gateway"].rtt is not None
    assert views["gateway"].rtt.exact
    assert views["bank"].failures == (("generic_timeout_error", 4),)
    assert (counted.sent, counted.answered, counted.estimated) == (32, 0, False)


def test_unknown_probe_and_line(half_hour: Queries) -> None:
    """What is not there is refused, with what is."""
    probe = half_hour.fleet()[0].probe
    with pytest.raises(NotFoundError, match="not enrolled here"):
        find_probe(half_hour, ProbeId("a" * 16))
    with pytest.raises(NotFoundError, match="are fixed-1, mobile-1"):
        check_line(half_hour.lines(probe), "fixed-2")
