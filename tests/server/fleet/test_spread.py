"""Over how long a fleet spreads its return."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from linewatch_core.ids import probe_id_from_random
from linewatch_server.clock import ServerClock
from linewatch_server.fleet.registry import Registry, TokenEntry
from linewatch_server.fleet.spread import FleetSpread, spread_for

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("probes", "seconds"), [(0, 0), (16, 0), (17, 5), (100, 30), (1000, 300), (50_000, 300)]
)
def test_it_grows_with_the_fleet_up_to_five_minutes(probes: int, seconds: int) -> None:
    """A handful needs none; a thousand come at 3.3 a second on average."""
    assert spread_for(probes) == seconds


def _enrol(registry: Registry, number: int) -> None:
    probe = probe_id_from_random(number.to_bytes(10))
    registry.add_token(TokenEntry(f"t-{probe}", probe, b"", 1, NOW, None), label="x", now=NOW)
    registry.complete(
        f"t-{probe}", certificate="", serial=number, key_der=b"", signing_key=b"", now=NOW
    )


def test_the_living_are_counted_and_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrolled and not revoked; a count a minute, since every ack asks."""
    now_s = 0.0
    monkeypatch.setattr(ServerClock, "mono_s", lambda _: now_s)
    registry = Registry(tmp_path / "registry.sqlite")
    for number in range(20):
        _enrol(registry, number)
    spread = FleetSpread(registry, ServerClock(), fixed_s=None)
    assert (registry.live_count(), spread()) == (20, 5)
    for number in range(20, 40):
        _enrol(registry, number)
    registry.revoke(probe_id_from_random((3).to_bytes(10)), now=NOW)
    assert (registry.live_count(), spread()) == (39, 5)
    now_s = 61.0
    assert spread() == 10


def test_the_operators_word_counts(tmp_path: Path) -> None:
    """Zero included."""
    registry = Registry(tmp_path / "registry.sqlite")
    assert FleetSpread(registry, ServerClock(), fixed_s=0)() == 0
    assert FleetSpread(registry, ServerClock(), fixed_s=90)() == 90
