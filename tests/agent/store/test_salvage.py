"""A damaged store costs what the damage covers: the rest is read past it, verified and carried."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from linewatch_agent.export_command import export
from linewatch_agent.store.database import PAGE_BYTES, STORE_FILE, SUSPECT_FILE
from linewatch_agent.store.opening import damaged_stores
from linewatch_agent.store.tables import SealedRange
from linewatch_core.records import Stream
from linewatch_server.importing import import_parcels
from tests.support.carried import Carried, with_new_key
from tests.support.probe import power_cut
from tests.support.records import realistic_samples

RAW = 4_110


@pytest.fixture
def both(tmp_path: Path) -> Carried:
    """A probe with an unsent backlog and an open block, without power, and its server."""
    made = Carried(tmp_path)
    made.measure(raw=RAW, roll=300, ev=100, stop=False)
    return made


def pages(path: Path) -> int:
    """Return how many pages a file has."""
    return path.stat().st_size // PAGE_BYTES


def overwrite(path: Path, first: int, count: int) -> None:
    """Put noise in the place of some pages, the first page being 0."""
    with path.open("r+b") as file:
        file.seek(first * PAGE_BYTES)
        file.write(random.Random(first).randbytes(count * PAGE_BYTES))


def schema(path: Path) -> None:
    """Lose the first page: SQLite opens nothing of such a file."""
    overwrite(path, 0, 1)


def roots(path: Path) -> None:
    """Lose the roots of all tables and indices."""
    overwrite(path, 0, 8)


def suspect(path: Path) -> None:
    """Leave the mark of a run that met damage."""
    (path.parent / SUSPECT_FILE).touch()


def tail(path: Path) -> None:
    """Cut the last tenth off."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 9 // 10)


def one_in_twenty(path: Path) -> None:
    """Lose the first page and every twentieth of the others."""
    for page in range(0, pages(path), 20):
        overwrite(path, page, 1)


def set_aside(both: Carried, damage: Callable[[Path], None]) -> Path:
    """Damage the store and start on it; return where it was put."""
    damage(both.state / STORE_FILE)
    store, _ = both.open()
    store.close()
    (path,) = damaged_stores(both.state)
    return path


def carried(both: Carried) -> tuple[int, int, int, int]:
    """Export what is left and import it: records stored, stored again, unverified, quarantined."""
    export(both.state, both.stick, everything=False, damaged=True)
    assert import_parcels(both.server, both.stick).damaged == []
    found = both.stored()
    return found.stored, found.duplicates, found.unverified, found.quarantined


def test_without_its_schema_nothing_is_lost(both: Carried) -> None:
    """Not even the block that was open: its frames go on where the chain ends."""
    path = set_aside(both, schema)
    before = path.read_bytes()
    assert carried(both) == (RAW + 400, 0, 0, 0)
    assert path.read_bytes() == before


def test_what_was_never_sealed_is_signed_only_once(both: Carried) -> None:
    """Exported again to another stick, under a later key: the same bytes, so no contradiction."""
    set_aside(both, schema)
    first = carried(both)
    with_new_key(both)
    both.stick.rename(both.folder / "first stick")
    assert carried(both) == first


@pytest.mark.parametrize("damage", [roots, tail, one_in_twenty])
def test_damage_costs_what_it_covers(both: Carried, damage: Callable[[Path], None]) -> None:
    """A lost page costs the segments that have a part of themselves in it: three at most."""
    whole = pages(both.state / STORE_FILE)
    before = (both.state / STORE_FILE).read_bytes()
    path = set_aside(both, damage)
    after = path.read_bytes().ljust(whole * PAGE_BYTES, b"\0")
    lost_pages = sum(
        before[at : at + PAGE_BYTES] != after[at : at + PAGE_BYTES]
        for at in range(0, whole * PAGE_BYTES, PAGE_BYTES)
    )
    stored, again, unverified, quarantined = carried(both)
    assert (again, unverified, quarantined) == (0, 0, 0)
    # A segment has at most 200 records, and so has the block that was open.
    assert RAW + 400 > stored >= RAW + 400 - (3 * lost_pages + 1) * 200
    assert stored > RAW // 4


def test_what_the_wal_alone_holds_is_found(both: Carried, tmp_path: Path) -> None:
    """A power cut before anything was written back: the newest pages are in the WAL."""
    store, _ = both.open()
    bodies = [record.body for record in realistic_samples(RAW + 50, 1)[RAW:]]
    store.commit(bodies, now_ms=2_000, safe_ms=2_000)
    sealed = store.seal(Stream.RAW)
    store.commit(bodies[:5], now_ms=2_001, safe_ms=2_001)
    assert sealed == SealedRange(Stream.RAW, RAW + 1, RAW + 50)
    other = Carried.__new__(Carried)
    other.folder, other.layout, other.identity = tmp_path / "cut", both.layout, both.identity
    power_cut(both.folder, other.folder)
    store.close()
    set_aside(other, suspect)
    assert carried(other) == (RAW + 400 + 55, 0, 0, 0)


def test_noise_and_an_empty_file_give_nothing(both: Carried) -> None:
    """No row of them is believed, and nothing is raised."""
    path = set_aside(both, schema)
    size = path.stat().st_size
    for data in (b"", b"\r" * size, random.Random(5).randbytes(size)):
        path.write_bytes(data)
        assert export(both.state, both.stick, everything=False, damaged=True).items == 0


def test_another_probes_segments_are_not_taken(both: Carried, tmp_path: Path) -> None:
    """A file that was put there is not this probe's word."""
    (tmp_path / "other").mkdir()
    other = Carried(tmp_path / "other")
    other.measure(raw=400)
    set_aside(both, schema).write_bytes((other.state / STORE_FILE).read_bytes())
    assert export(both.state, both.stick, everything=False, damaged=True).items == 0
