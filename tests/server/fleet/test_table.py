"""The fleet in a terminal: who is silent stands first, with what it last said."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from linewatch_core.ids import ProbeId
from linewatch_core.records import BootStarted, LineChanged, LineKind
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.clock import ServerClock
from linewatch_server.fleet import table
from linewatch_server.fleet.registry import Registry, TokenEntry
from linewatch_server.init import init
from linewatch_server.rebuild import rebuild
from linewatch_server.settings import Layout
from tests.support.probes import ProbeWriter, boot_id, sample, store
from tests.support.segments import recipient_secret

NOW = datetime.now(UTC)
BOOT = boot_id("first")


def register(layout: Layout, label: str, *, used: bool = True) -> ProbeWriter:
    """Give a probe a token, and let it be used."""
    writer, registry = ProbeWriter(label), Registry(layout.registry)
    token = f"t-{label}"
    registry.add_token(
        TokenEntry(token, writer.probe, b"", 1, NOW + timedelta(days=1), None), label=label, now=NOW
    )
    if used:
        registry.complete(
            token,
            certificate="",
            serial=1,
            key_der=label.encode(),
            signing_key=writer.key.public,
            now=NOW,
        )
    return writer


def arrive(layout: Layout, writer: ProbeWriter, *, minutes_ago: int) -> None:
    """Archive a start, two lines, and a sample of a probe, as if they came that long ago."""
    at_ms = ServerClock().utc_ms() - minutes_ago * 60_000
    lines = (
        LineChanged(2, "fixed-1", LineKind.FIXED, True, (4,)),
        LineChanged(3, "mobile-1", LineKind.MOBILE, False, (), ("no_carrier",)),
    )
    with ArchiveWriter(layout.directory) as archive:
        events = writer.close(BOOT, [BootStarted(1, "0.1.0"), *lines])
        raw = writer.close(BOOT, [sample(1_000)])
        store(archive, writer.enrolment(), events, raw, at_ms=at_ms)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the table of a fleet with one of each state."""
    layout = init(tmp_path / "server", host="127.0.0.1")
    arrive(layout, register(layout, "well"), minutes_ago=1)
    arrive(layout, register(layout, "dark"), minutes_ago=200)
    arrive(layout, ProbeWriter("unlisted"), minutes_ago=1)
    register(layout, "shelf")
    register(layout, "token", used=False)
    revoked = register(layout, "gone")
    Registry(layout.registry).revoke(ProbeId(revoked.probe), now=NOW)
    rebuild(layout.directory, recipient_secrets=[recipient_secret("fleet")])
    console = Console(width=160, record=True, file=StringIO())
    monkeypatch.setattr(table, "Console", lambda: console)
    table.print_fleet(layout.directory)
    return [line for line in console.export_text().splitlines() if re.search("[a-z2-7]{16}", line)]


def test_what_needs_a_person_is_first(shown: list[str]) -> None:
    """Silent probes, then those that send, then tokens and revoked ones."""
    states = ("silent for 3 h", "never sent", "not registered", "sent 1 min ago", "token open")
    places = {state: at for state in states for at, line in enumerate(shown) if state in line}
    assert sorted(places[state] for state in states[:3]) == [0, 1, 2]
    assert [places[state] for state in states[3:]] == [3, 4]
    assert "revoked" in shown[5]


def test_a_silent_probe_shows_what_it_last_said(shown: list[str]) -> None:
    """How long ago, and which line had which problem."""
    [dark] = [line for line in shown if " dark " in line]
    assert "silent for 3 h" in dark
    assert "fixed-1 usable; mobile-1 no_carrier" in dark
