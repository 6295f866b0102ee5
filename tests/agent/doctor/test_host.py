"""Reading a machine: what is there, what is not, and programs that fail or hang."""

import pytest

from linewatch_agent.doctor import host as host_module
from tests.support.doctor_machine import Machine


def test_files_and_numbers_are_read_or_none(machine: Machine) -> None:
    """Absent, a folder, no number: None."""
    machine.write("/sys/a/number", " 42\n")
    machine.write("/sys/b/number", "many")
    host = machine.host
    assert (host.read("/sys/a/number"), host.number("/sys/a/number")) == ("42", 42)
    assert (host.number("/sys/b/number"), host.number("/sys/c"), host.read("/sys/a")) == (
        *(None, None),
        None,
    )
    assert host.first("/sys/*/number") == "/sys/a/number"
    assert host.first("/sys/*/none") is None


def test_a_program_that_is_missing_fails_or_hangs_says_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that works says what it prints."""
    machine.program("works", "yes")
    machine.program("fails", "no", code=3)
    assert machine.host.say("works") == "yes"
    assert machine.host.say("fails") is None
    assert machine.host.say("no-such-program-here") is None
    monkeypatch.setattr(host_module, "PROGRAM_S", 0.05)
    assert machine.host.say("sleep", "30") is None
