"""Which schedule applies: the usual one, or that of an event that may be going on."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.calendar import Watch, watch_at
from linewatch_agent.plan.config import Config, load_config
from linewatch_core.timebase import Interval

USUAL = Config().schedule
VOTE = load_config(
    """
    [[event]]
    name = "vote"
    begins = 2026-11-01T06:00:00+05:00
    ends = 2026-11-02T01:00:00Z
    period_s = 10
    [[event]]
    name = "count"
    begins = 2026-11-01T20:00:00Z
    ends = 2026-11-03T00:00:00Z
    period_s = 6
    refuse_updates = false
    [[event]]
    name = "freeze"
    begins = 2026-12-01T00:00:00Z
    ends = 2026-12-02T00:00:00Z
    """,
    name="f.toml",
).event


def unix_ms(text: str) -> int:
    """Return an ISO time of UTC as Unix ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def at(lo: str | None, hi: str | None = None) -> Watch:
    """Return how to measure between two times, or at one."""
    low = None if lo is None else unix_ms(lo)
    high = low if hi is None else unix_ms(hi)
    return watch_at(USUAL, VOTE, Interval(low, high))


@pytest.mark.parametrize(
    ("moment", "period_s", "refuse", "events"),
    [
        ("2026-11-01T00:59:59", 30, False, ()),
        ("2026-11-01T01:00:00", 10, True, ("vote",)),
        ("2026-11-01T20:00:00", 6, True, ("vote", "count")),
        ("2026-11-02T00:59:59", 6, True, ("vote", "count")),
        ("2026-11-02T01:00:00", 6, False, ("count",)),
        ("2026-11-03T00:00:00", 30, False, ()),
        ("2026-12-01T12:00:00", 30, True, ("freeze",)),
    ],
)
def test_a_calendar_tells_what_applies(
    moment: str, period_s: float, refuse: bool, events: tuple[str, ...]
) -> None:
    """Begins are included and ends are not; of several events the shortest period counts."""
    watch = at(moment)
    assert watch.schedule.period_s == period_s
    assert (watch.refuse_updates, watch.events) == (refuse, events)


def test_nothing_but_the_period_changes() -> None:
    """Jitter, timeout and spread stay as they are configured."""
    watch = at("2026-11-01T02:00:00")
    assert load_config("[schedule]\nperiod_s=10", name="f").schedule == watch.schedule


def test_an_event_that_may_be_going_on_applies() -> None:
    """With a poor clock it begins early and ends late."""
    assert at("2026-10-31T00:00:00", "2026-11-01T00:59:00").events == ()
    assert at("2026-10-31T00:00:00", "2026-11-01T01:00:00").events == ("vote",)
    assert at("2026-11-02T23:59:59", "2026-11-09T00:00:00").events == ("count",)


def test_an_unknown_time_may_be_any() -> None:
    """Without any idea of the time every event applies; with a lower bound, past ones don't."""
    assert watch_at(USUAL, VOTE, Interval(None, None)).events == ("vote", "count", "freeze")
    late = Interval(unix_ms("2026-11-05T00:00:00"), None)
    assert watch_at(USUAL, VOTE, late).events == ("freeze",)


def test_without_events_all_is_as_usual() -> None:
    """The default calendar is empty."""
    assert watch_at(USUAL, Config().event, Interval(None, None)) == Watch(USUAL)


MOMENTS = st.integers(unix_ms("2026-10-01T00:00:00"), unix_ms("2026-12-31T00:00:00"))


@given(MOMENTS, MOMENTS, MOMENTS)
def test_knowing_the_time_better_never_adds_an_event(a: int, b: int, c: int) -> None:
    """What applies at a moment applies in every interval that holds it."""
    low, middle, high = sorted((a, b, c))
    wide = watch_at(USUAL, VOTE, Interval(low, high))
    narrow = watch_at(USUAL, VOTE, Interval(middle, middle))
    assert set(narrow.events) <= set(wide.events)
    assert narrow.schedule.period_s >= wide.schedule.period_s
    assert narrow.refuse_updates <= wide.refuse_updates
