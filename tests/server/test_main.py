"""The command by hand: what a person may get wrong is one line that says what to do."""

import json
from pathlib import Path

import pytest

from linewatch_core.records import Body, BootStarted, LineChanged, LineKind
from linewatch_server.__main__ import main
from linewatch_server.init import init
from linewatch_server.rebuild import rebuild
from tests.support.probes import ProbeWriter, archive_of, boot_id, sample
from tests.support.segments import recipient_secret
from tests.support.two_stories import fill_two_stories

NOBODY = "a" * 16
DAY = ("--from", "2026-01-05", "--to", "2026-01-06")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A server's directory that has never run."""
    return init(tmp_path / "server", host="127.0.0.1").directory


def failing(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that fails; return its one line, with nothing printed before it."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", [("samples", *DAY), ("quarantine",), ("audit",)])
def test_a_probe_that_nobody_knows_is_an_error(
    server: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A misspelt id is not an empty answer."""
    rebuild(server)
    name, *options = command
    said = failing(capsys, name, server, "--probe", NOBODY, *options)
    assert f"cannot show probe {NOBODY}: nothing has arrived from it" in said
    assert f"linewatch-server fleet {server}" in said


def test_a_range_that_ends_before_it_begins_is_an_error(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is it an empty answer."""
    times = ("--from", "2026-01-06", "--to", "2026-01-05")
    said = failing(capsys, "samples", server, "--probe", NOBODY, *times)
    assert "--to must be later than --from" in said


def test_a_line_that_the_probe_does_not_have_is_an_error(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names those that it has."""
    writer = ProbeWriter()
    events: list[Body] = [
        BootStarted(1, "0.1.0"),
        LineChanged(2, "fixed-1", LineKind.FIXED, True, (4,)),
    ]
    archive_of(server, writer.enrolment(), writer.close(boot_id("first"), events))
    rebuild(server, recipient_secrets=[recipient_secret("fleet")])
    capsys.readouterr()
    arguments = ("--probe", writer.probe, "--line", "fixed-2", *DAY)
    assert "cannot show line fixed-2: expected fixed-1" in failing(
        capsys, "samples", server, *arguments
    )


def test_before_the_first_start_a_reader_says_so(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no index yet; the fleet shows its tokens all the same."""
    said = failing(capsys, "quarantine", server, "--probe", NOBODY)
    assert "there is none yet; it is made by the next start of the server" in said
    assert main(["enrol", str(server), "--label", "attic"]) == 0
    capsys.readouterr()
    assert main(["fleet", str(server)]) == 0
    told = capsys.readouterr().out
    assert "attic" in told
    assert "What is stored is not known here" in told


def test_an_audit_needs_no_index(server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks the archive alone."""
    writer = ProbeWriter()
    archive_of(server, writer.enrolment(), writer.close(boot_id("first"), [sample(1_000)]))
    assert main(["audit", str(server), "--probe", writer.probe]) == 0
    assert "records stored      1" in capsys.readouterr().out


def test_quarantine_prints_one_marked_document(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as the page leads to; sealed here, since this server has another key."""
    writer = fill_two_stories(server)
    capsys.readouterr()
    assert main(["quarantine", str(server), "--probe", writer.probe]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["believed"] is False
    assert [one["unopened"] for one in document["messages"]] == [
        "it is sealed to a key that is not here"
    ] * 2
