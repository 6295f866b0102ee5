"""Does the probe run: its service, itself, its clock, well and not."""

from datetime import UTC, datetime

import pytest

from linewatch_agent import clock
from linewatch_agent.doctor import running
from linewatch_agent.doctor.findings import Level
from linewatch_core.timex import KernelClock
from tests.support.doctor_machine import Machine, levels, only

WELL = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "NRestarts": "0",
    "Result": "success",
}


@pytest.mark.parametrize(
    ("changes", "expected", "says"),
    [
        ({}, [Level.OK], "it runs; restarted 0 times"),
        ({"NRestarts": "4"}, [Level.PROBLEM], "restarted 4 times"),
        (
            {"ActiveState": "failed", "Result": "watchdog"},
            [Level.PROBLEM],
            "it has failed (watchdog)",
        ),
        ({"ActiveState": "inactive"}, [Level.PROBLEM], "stopped"),
        ({"UnitFileState": "disabled"}, [Level.OK, Level.PROBLEM], "it runs"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, [Level.NOTE], "not installed"),
    ],
)
def test_the_service_as_systemd_says(
    machine: Machine, changes: dict[str, str], expected: list[Level], says: str
) -> None:
    """A program of that name says what systemd would."""
    (machine.folder / "root/run/systemd/system").mkdir(parents=True)
    fields = WELL | changes
    machine.program("systemctl", "\n".join(f"{key}={value}" for key, value in fields.items()))
    said = list(running.service(machine.host))
    assert levels(said) == expected
    assert says in said[0].text


def test_without_systemd_nothing_is_claimed(machine: Machine) -> None:
    """Neither where it is not, nor where it does not answer."""
    assert only(list(running.service(machine.host))).level is Level.NOTE
    (machine.folder / "root/run/systemd/system").mkdir(parents=True)
    machine.program("systemctl", "", code=1)
    one = only(list(running.service(machine.host)))
    assert (one.level, one.text) == (Level.NOTE, "systemd does not answer")


def test_no_agent_is_wrong(machine: Machine) -> None:
    """And nothing is said of a server that nobody tries."""
    assert levels(list(running.agent(machine.host))) == [Level.PROBLEM]


@pytest.mark.parametrize(
    ("changes", "expected", "says"),
    [
        ({}, [Level.OK, Level.OK], "connected"),
        ({"uplink__enabled": False}, [Level.OK, Level.OK], "turned off"),
        ({"uplink__connected": False}, [Level.OK, Level.NOTE], "not connected: trying"),
        (
            {"led": {"signal": "help", "reasons": ["no line can be measured"], "problem": None}},
            [Level.PROBLEM, Level.OK],
            "connected",
        ),
    ],
)
def test_an_agent_by_what_it_says(
    machine: Machine, changes: dict[str, object], expected: list[Level], says: str
) -> None:
    """A server out of reach may be a shutdown: that is not the probe's fault."""
    said = list(running.agent(machine.running(**changes).host))
    assert levels(said) == expected
    assert says in said[1].text


def test_how_the_last_agent_ended_badly(machine: Machine) -> None:
    """Worth knowing; nothing where none did."""
    assert list(running.last_end(machine.host)) == []
    path = machine.state / "postmortem/last.json"
    path.parent.mkdir()
    path.write_text('{"count": 2, "result": "oom-kill", "lines": ["a", "MemoryError"]}')
    one = only(list(running.last_end(machine.host)))
    assert one.level is Level.NOTE
    assert one.text.startswith("the system ran out of memory and ended it")
    assert one.text.endswith(": MemoryError")


NEVER_SET = datetime(1970, 1, 1, tzinfo=UTC)
SET = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kernel", "level"),
    [
        ({}, (False, NEVER_SET), Level.OK),
        ({"clock__disputed": True}, (True, SET), Level.PROBLEM),
        ({"clock__error_ms": None}, (True, SET), Level.OK),
        ({"clock__error_ms": None}, (False, SET), Level.NOTE),
        ({"clock__error_ms": None}, (False, NEVER_SET), Level.PROBLEM),
        (None, (True, SET), Level.OK),
        (None, (False, SET), Level.NOTE),
        (None, (False, NEVER_SET), Level.PROBLEM),
    ],
    ids=str,
)
def test_the_clock(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    status: dict[str, object] | None,
    kernel: tuple[bool, datetime],
    level: Level,
) -> None:
    """What the agent knows counts before what the kernel says."""
    monkeypatch.setattr(clock, "kernel_clock", lambda: KernelClock(kernel[0], 120))
    monkeypatch.setattr(clock, "utc_now", lambda: kernel[1])
    if status is not None:
        machine.running(**status)
    assert only(list(running.time(machine.host))).level is level
