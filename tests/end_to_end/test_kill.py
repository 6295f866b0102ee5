"""The agent killed at random moments while the broker is away: nothing is lost, nothing twice."""

import random
import time
from pathlib import Path

import pytest

from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason
from linewatch_server.audit import audit
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.index.queries import Queries
from linewatch_server.settings import Layout
from tests.support.world import CONFIG, ISP4, SERVER, World, boottime_ms, world

LOSS_MS = 5000
"""At most the last five seconds before a kill may be absent,"""
SELDOM = CONFIG.replace("commit_s = 5.0", "commit_s = 30.0")
"""though samples reach the disk only twice a minute: a copy in memory has the others."""
MATCH_MS = 300
"""How far a sample's start may be from the moment at which its target saw it, on a busy machine."""
PORTS = {9000: "site-a", 9001: "site-b"}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills_wanted", [20, pytest.param(60, marks=pytest.mark.slow)])
def test_kill_nine_loses_at_most_the_last_five_seconds(tmp_path: Path, kills_wanted: int) -> None:
    """After kills -9 in an outage: missing 0, duplicates 0, each loss within 5 s and told."""
    ledger = tmp_path / "ledger"
    with world(tmp_path) as here:
        here.isp.serve("tests.support.world:serve_ledger", ISP4, list(PORTS), str(ledger))
        here.set_up_server(external_broker=True)
        here.start("broker", *SERVER, "broker", here.server)
        here.start_server()
        probe = ProbeId(here.enrol(SELDOM))
        here.start_agent()
        here.until_synced()
        here.kill_broker()
        kills, too_soon = _kill_repeatedly(here, kills_wanted)
        here.start("broker", *SERVER, "broker", here.server)
        here.until_synced()
        assert here.stop("agent") == 0
        here.stop("server")
        secrets = recipient_secrets(Layout(here.server))
        found = audit(here.server, probe, recipient_secrets=secrets)
        queries = Queries(here.server, recipient_secrets=secrets)
        samples = [row.sample for row in queries.samples(probe, None, 0, 2**53)]

    assert (found.missing, found.duplicates, found.quarantined, found.unverified) == (0, 0, 0, 0)
    slots = [(s.line, s.target, s.check, s.family, s.slot_ms) for s in samples]
    assert len(set(slots)) == len(slots)
    killed = [gap for gap in found.gaps if gap.reason is GapReason.KILLED]
    # A start that was killed before it wrote anything shares its gap with the next.
    assert kills_wanted - too_soon <= len(killed) <= kills_wanted
    seen = {(s.target, s.mono_ms) for s in samples if s.check == "tcp"}
    absent = [at for at in _accepted(ledger) if not _is_recorded(at, seen)]
    for _, at_ms in absent:
        near = any(begun - LOSS_MS <= at_ms <= ended + MATCH_MS for begun, ended in kills)
        assert near, "lost earlier than told"
        assert any(gap.from_ms <= at_ms + MATCH_MS and at_ms <= gap.to_ms for gap in killed)
    # The proof means something only if much was kept between the kills.
    assert len(seen) > 3 * kills_wanted


def _kill_repeatedly(here: World, wanted: int) -> tuple[list[tuple[int, int]], int]:
    """Kill the agent at random moments, one start of four maybe before it answers.

    Returns:
        The moments before and after each kill as CLOCK_BOOTTIME ms, and how many starts were
        killed before they had written their first events.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    kills, too_soon, written = [], 0, 0
    for number in range(wanted):
        if number % 4:
            here.until("the start", lambda: here.status() is not None)
        time.sleep(choose.uniform(2, 11))
        before, written = written, max(written, _events(here))
        too_soon += written == before
        begun_ms = boottime_ms()
        here.kill("agent")
        kills.append((begun_ms, boottime_ms()))
        here.start_agent()
    here.until("the last start", lambda: here.status() is not None)
    return kills, too_soon


def _events(here: World) -> int:
    """Return how many events the agent has committed in its life; 0 while it does not answer."""
    status = here.status()
    return 0 if status is None else int(status["store"]["committed"]["ev"])


def _accepted(ledger: Path) -> list[tuple[str, int]]:
    """Return (target, CLOCK_BOOTTIME ms) of every connection that the targets saw."""
    lines = (line.split() for line in ledger.read_text().splitlines())
    return [(PORTS[int(port)], int(at_ms)) for port, at_ms in lines]


def _is_recorded(at: tuple[str, int], seen: set[tuple[str, int]]) -> bool:
    target, at_ms = at
    return any((target, at_ms + shift) in seen for shift in range(-MATCH_MS, MATCH_MS))
