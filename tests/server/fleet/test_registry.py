"""The registry, used by several processes at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linewatch_core.ids import ProbeId
from linewatch_server.fleet.registry import Registry, TokenEntry
from linewatch_server.settings import SetupError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROBE = ProbeId("a" * 16)


def _add(registry: Registry, probe: str = PROBE) -> str:
    token = "t-" + probe
    entry = TokenEntry(token, ProbeId(probe), b"hash", 2**150 + 1, NOW, None)
    registry.add_token(entry, label="x", now=NOW)
    return token


def _complete(registry: Registry, token: str, serial: int) -> bool:
    return registry.complete(
        token,
        certificate=f"certificate {serial}",
        serial=serial,
        key_der=b"key",
        signing_key=b"s",
        now=NOW,
    )


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    """Another process, later, sees the same; serial numbers exceed 64 bits."""
    token = _add(Registry(tmp_path / "r"))
    assert _complete(Registry(tmp_path / "r"), token, 2**152 + 7)
    registry = Registry(tmp_path / "r")
    probe = registry.probe(PROBE)
    assert probe is not None
    assert (probe.serial, probe.enrolled_at) == (2**152 + 7, NOW)
    entry = registry.token(token)
    assert entry is not None
    assert (entry.serial, entry.used_at) == (2**150 + 1, NOW)


def test_a_token_is_completed_once_however_many_try(tmp_path: Path) -> None:
    """Of eight at the same time one wins, and its certificate is the one kept."""
    registry = Registry(tmp_path / "r")
    token = _add(registry)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: _complete(Registry(tmp_path / "r"), token, n), range(8)))
    assert won.count(True) == 1
    probe = registry.probe(PROBE)
    assert probe is not None
    assert probe.serial == won.index(True)


def test_revoked_names_and_serials_cover_the_token(tmp_path: Path) -> None:
    """Both certificates of a revoked probe are out, and nobody else's."""
    registry = Registry(tmp_path / "r")
    _complete(registry, _add(registry), 5)
    _add(registry, "b" * 16)
    registry.revoke(PROBE, now=NOW)
    assert registry.revoked_names() == [PROBE, "t-" + PROBE]
    assert registry.revoked_serials() == [5, 2**150 + 1]
    assert [p.probe for p in registry.probes()] == [PROBE, "b" * 16]


def test_an_unknown_probe_is_not_live(tmp_path: Path) -> None:
    """Nobody is believed by default."""
    assert not Registry(tmp_path / "r").is_live("c" * 16)


def test_a_damaged_registry_is_one_line(tmp_path: Path) -> None:
    """The file is named, and nothing is overwritten."""
    path = tmp_path / "r"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(SetupError, match=r"cannot use the registry .*: file is not a database"):
        Registry(path)
    assert path.read_bytes() == b"not a database" * 100
