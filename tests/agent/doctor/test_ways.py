"""Lines and modems: each state that a person may have to mend."""

from typing import Any

import pytest

from linewatch_agent.doctor import ways
from linewatch_agent.doctor.findings import Level
from linewatch_agent.lines import LineIds
from linewatch_agent.modems.words import described
from linewatch_agent.plan.line import Line, Problem
from linewatch_core.modem_words import Bearer, ModemDetail, Registration, Sim
from linewatch_core.records import LineKind
from tests.support.doctor_machine import levels, only

NO_CABLE = Problem("no_carrier", "eth0 has no link.", "check the cable")
NO_RESOLVER = Problem("no_resolver", "No resolver.", fatal=False)
FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4, 6))
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
WELL = ModemDetail(sim=Sim.READY, registration=Registration.HOME, bearer=Bearer.UP)


def broken(line: Line, *problems: Problem, id: str | None = None) -> Line:
    """Return a line with problems."""
    return Line(id or line.id, line.kind, line.device, problems=problems)


def test_lines_that_are_well() -> None:
    """Each with what it can carry."""
    said = list(ways.lines([FIXED, MOBILE], [], LineIds()))
    assert [each.text for each in said] == [
        "fixed-1 (eth0): IPv4 and IPv6",
        "mobile-1 (wwan0): IPv4",
    ]
    assert levels(said) == [Level.OK, Level.OK]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([broken(FIXED, NO_CABLE)], [Level.PROBLEM]),
        ([FIXED, broken(FIXED, NO_CABLE, id="fixed-2")], [Level.OK, Level.NOTE]),
        ([MOBILE, broken(MOBILE, NO_CABLE, id="mobile-2")], [Level.OK, Level.PROBLEM]),
        ([broken(FIXED, NO_RESOLVER)], [Level.PROBLEM]),
    ],
    ids=["no cable", "a socket beside a line that works", "a second modem", "no resolver"],
)
def test_lines_that_are_not(found: list[Line], expected: list[Level]) -> None:
    """With the command that mends them; an unused socket is no fault."""
    said = list(ways.lines(found, [], LineIds()))
    assert levels(said) == expected
    assert said[-1].text.startswith(f"{found[-1].id}: ")


def test_what_is_wrong_with_the_machine_and_what_was_here_before() -> None:
    """The one is wrong, the other perhaps meant."""
    ids = LineIds({"aaaa": "fixed-1", "bbbb": "mobile-1"})
    said = list(ways.lines([FIXED], [Problem("ping_closed", "No ICMP.", "sysctl")], ids))
    assert [(each.level, each.text) for each in said[1:]] == [
        (Level.PROBLEM, "No ICMP."),
        (Level.NOTE, "mobile-1 was here before and is not now"),
    ]


@pytest.mark.parametrize(
    ("detail", "advice", "level"),
    [
        (WELL, None, Level.OK),
        (None, None, Level.PROBLEM),
        (ModemDetail(present=False), None, Level.PROBLEM),
        (ModemDetail(sim=Sim.MISSING), "put one in", Level.PROBLEM),
        (ModemDetail(sim=Sim.LOCKED), "give its PIN", Level.PROBLEM),
        (
            ModemDetail(sim=Sim.READY, registration=Registration.DENIED),
            None,
            Level.PROBLEM,
        ),
        (
            ModemDetail(sim=Sim.READY, registration=Registration.HOME, bearer=Bearer.REFUSED),
            None,
            Level.NOTE,
        ),
    ],
    ids=["well", "silent", "gone", "no SIM", "locked", "denied", "refused"],
)
def test_what_a_modem_needs(detail: ModemDetail | None, advice: str | None, level: Level) -> None:
    """A session that the network refuses may be the shutdown itself."""
    said: dict[str, dict[str, Any]] = {"mobile-1": described(detail, advice=advice)}
    one = only(list(ways.modems([FIXED, MOBILE], said)))
    assert one.level is level
    assert (one.remedy is None) is (level is Level.OK)
    if advice is not None:
        assert one.remedy == advice


def test_a_stick_that_is_its_own_modem_is_no_fault() -> None:
    """Nobody can ask it."""
    assert only(list(ways.modems([MOBILE], {}))).level is Level.NOTE
