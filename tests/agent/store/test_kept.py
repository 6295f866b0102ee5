"""Small named values that outlive the process: there after it, and no result among them."""

from pathlib import Path

import pytest

from linewatch_agent.plan.ledger import LineLedger, Purpose, decode_ledgers, encode_ledgers
from linewatch_agent.store.database import STORE_FILE, StoreFullError
from linewatch_core.records import Transition
from tests.support.probe import Probe, power_cut, sample

LEDGERS = {"fixed-1": LineLedger(676, 5, {Purpose.VITAL: 600, Purpose.UPLINK: 17})}
RESULTS = ("bank-of-nowhere", "192.0.2.99", "generic_timeout_error", "intl_cut", "allow_list")


def test_a_value_is_there_after_a_restart(tmp_path: Path) -> None:
    """By its name; another name has none."""
    probe = Probe(tmp_path / "s")
    assert probe.store.kept.recall("ledgers") is None
    probe.store.kept.remember("ledgers", encode_ledgers(LEDGERS))
    probe.store.close()
    kept = Probe(tmp_path / "s").store.kept.recall("ledgers")
    assert kept is not None
    assert decode_ledgers(kept) == LEDGERS


def test_the_last_value_counts(tmp_path: Path) -> None:
    """Also an empty one; names do not meet each other, nor the store's own values."""
    probe = Probe(tmp_path / "s")
    epoch = probe.store.epoch
    for value in (b"old", b"new", b""):
        probe.store.kept.remember("ledgers", value)
    probe.store.kept.remember("epoch", b"other")
    probe.store.close()
    again = Probe(tmp_path / "s", epoch_label="another").store
    assert (again.kept.recall("ledgers"), again.kept.recall("epoch")) == (b"", b"other")
    assert again.epoch == epoch


def test_a_power_cut_keeps_what_was_remembered(tmp_path: Path) -> None:
    """It is on the disk when the call returns, though nobody closed the store."""
    probe = Probe(tmp_path / "s")
    probe.store.kept.remember("ledgers", b"sums")
    folder = power_cut(probe.directory, tmp_path / "cut")
    assert Probe(folder).store.kept.recall("ledgers") == b"sums"


def test_a_full_disk_refuses_and_keeps_the_value_before(tmp_path: Path) -> None:
    """The caller is told, and goes on with what it has in memory."""
    probe = Probe(tmp_path / "s")
    probe.store.kept.remember("ledgers", b"before")
    pages = probe.store._db.execute("PRAGMA page_count").fetchone()[0]
    probe.store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFullError):
        probe.store.kept.remember("ledgers", bytes(1_000_000))
    assert probe.store.kept.recall("ledgers") == b"before"


def test_the_card_tells_sums_of_data_and_no_result(tmp_path: Path) -> None:
    """The ledger is legible, as it may be; no target, address, failure or verdict is."""
    probe = Probe(tmp_path / "s")
    probe.store.kept.remember("ledgers", encode_ledgers(LEDGERS))
    measured = [sample(n, target=RESULTS[0], address=RESULTS[1]) for n in range(30)]
    told = Transition(1_030, "fixed-1", None, "allow_list", "intl_cut", 1, 2, "intl_cut", 1, (1,))
    probe.commit(*measured, told)
    before = files(probe)
    probe.store.stop(now_ms=probe.now_ms)
    probe.store.close()
    for held in (before, files(probe)):
        assert b'"vital":600' in held, "the search finds what is legible"
        assert [word for word in RESULTS if word.encode() in held] == []


def files(probe: Probe) -> bytes:
    """Return all bytes of the database and what SQLite keeps beside it."""
    found = sorted(probe.directory.rglob(f"{STORE_FILE}*"))
    assert found
    return b"".join(path.read_bytes() for path in found)
