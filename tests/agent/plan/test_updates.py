"""When a probe may be updated, as a table."""

from dataclasses import replace

import pytest

from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.plan.settings import UpdateConfig
from linewatch_agent.plan.updates import BACKLOG_MAX, Situation, not_now, ways
from linewatch_core.records import LineKind
from linewatch_core.verdict import LineVerdict

FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
WELL = Situation(
    lines=(MOBILE, FIXED),
    verdicts={FIXED.id: LineVerdict.OK, MOBILE.id: LineVerdict.OK},
    refuse_updates=False,
    connected=True,
    backlog=BACKLOG_MAX,
    backfilling=False,
    on_trial=False,
)
OUTAGES = [one for one in LineVerdict if one is not LineVerdict.OK and "local" not in one.value]


def test_a_probe_that_is_well_may() -> None:
    """Lines that are well, a server that answers and no backlog: nothing is in the way."""
    assert not_now(WELL) is None


@pytest.mark.parametrize("verdict", OUTAGES)
def test_never_during_an_outage(verdict: LineVerdict) -> None:
    """One line that is not well is enough, and so is one that nobody knows of yet."""
    told = not_now(replace(WELL, verdicts={**WELL.verdicts, MOBILE.id: verdict}))
    assert told == f"mobile-1 is {verdict.value}"
    assert not_now(replace(WELL, verdicts={FIXED.id: LineVerdict.OK})) == "mobile-1 is unknown"


@pytest.mark.parametrize("verdict", [LineVerdict.LINK, LineVerdict.MODEM, LineVerdict.POWER])
def test_a_fault_in_the_home_is_no_outage(verdict: LineVerdict) -> None:
    """A cable that is out for good must not keep a probe as it is for good."""
    situation = replace(WELL, verdicts={**WELL.verdicts, MOBILE.id: verdict})
    assert not_now(situation) is None
    assert ways(situation, UpdateConfig()) == [FIXED]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"refuse_updates": True}, "an announced event may be going on"),
        ({"connected": False}, "the server does not answer"),
        ({"backlog": BACKLOG_MAX + 1}, "records wait for the server"),
        ({"backfilling": True}, "records wait for the server"),
        ({"on_trial": True}, "the release that runs is on trial"),
    ],
)
def test_never_at_a_bad_time(change: dict[str, bool | int], reason: str) -> None:
    """Nor in an announced window, nor with a backlog, nor while the last one is on trial."""
    told = not_now(replace(WELL, **change))  # type: ignore[arg-type]
    assert told is not None
    assert reason in told


def test_fixed_lines_come_first() -> None:
    """A fixed line is used before a mobile one, which the configuration can forbid."""
    assert ways(WELL, UpdateConfig()) == [FIXED, MOBILE]
    assert ways(WELL, UpdateConfig(lines="fixed")) == [FIXED]
    broken = replace(FIXED, problems=(Problem("no_address", "it has no address"),))
    assert ways(replace(WELL, lines=(broken, MOBILE)), UpdateConfig()) == [MOBILE]
