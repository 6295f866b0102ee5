"""The whole examination: of a machine here, of one that is broken, and as a command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from linewatch_agent.__main__ import main
from linewatch_agent.doctor import command, hardware
from linewatch_agent.doctor.command import examine
from linewatch_agent.doctor.findings import Finding, Level
from linewatch_agent.doctor.host import Host


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Give back what the command sets up for the whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask no modem and read no configuration of the machine that runs this."""
    monkeypatch.setattr(command, "CONFIG", tmp_path / "none.toml")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")


def topics(findings: list[Finding]) -> set[str]:
    """Return what was looked at."""
    return {each.topic for each in findings}


def test_everything_is_looked_at_on_a_bare_machine(tmp_path: Path) -> None:
    """Each topic says something, and none failed."""
    said = examine(tmp_path, None, root=tmp_path)
    assert topics(said) >= {
        *("identity", "release", "service", "agent", "clock", "store", "disk"),
        *("power", "temperature", "memory", "watchdog", "light", "configuration"),
    }
    assert "doctor" not in topics(said)


def test_a_wrong_configuration_leaves_the_rest_to_be_said(tmp_path: Path) -> None:
    """With the line that is wrong, and how to try again."""
    config = tmp_path / "linewatch.toml"
    config.write_text("[schedule]\nperiod = 3")
    said = examine(tmp_path, config, root=tmp_path)
    (wrong,) = [each for each in said if each.topic == "configuration"]
    assert wrong.level is Level.PROBLEM
    assert "line 2" in wrong.text
    assert topics(said) >= {"disk", "memory"}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "/x/y"), "cannot look at /x/y: permission"),
        (KeyError("gone"), "a check ended with KeyError: 'gone'"),
    ],
)
def test_a_check_that_fails_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    """What was found before it and after it is said, too."""

    def failing(host: Host) -> Iterator[Finding]:
        yield Finding("memory", Level.OK, "the first half")
        raise error

    monkeypatch.setattr(hardware, "memory", failing)
    said = examine(tmp_path, None, root=tmp_path)
    (failed,) = [each for each in said if each.topic == "doctor"]
    assert failed.level is Level.PROBLEM
    assert failed.text.startswith(says)
    assert topics(said) >= {"memory", "watchdog", "configuration"}


def test_the_command_prints_words_or_json_and_ends_with_1_when_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This folder is no probe."""
    assert main(["doctor", "--state", str(tmp_path)]) == 1
    assert "\nproblem  identity" in capsys.readouterr().out
    assert main(["doctor", "--state", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"] is True


def test_a_probe_that_is_well_ends_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notes are no problems."""
    monkeypatch.setattr(command, "examine", lambda *_, **__: [Finding("x", Level.NOTE, "y")])
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("Nothing is wrong.\n")
