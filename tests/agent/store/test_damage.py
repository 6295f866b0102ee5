"""A damaged store never stops the measuring: it is set aside, kept, and a gap says so."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from linewatch_agent.store.database import (
    PAGE_BYTES,
    STORE_FILE,
    SUSPECT_FILE,
    StoreDamagedError,
    StoreError,
)
from linewatch_agent.store.opening import open_database
from linewatch_agent.store.values import StoreLimits
from linewatch_core.records import Gap, GapReason, Stream
from tests.support.probe import Probe, boot_started, bulky, records_of, sample, samples
from tests.support.segments import BOOT

LIMITS = StoreLimits(block_records=20, free_bytes_min=0)


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Return the folder of a store that was used, stopped and checkpointed."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    for first in range(1, 1001, 20):
        probe.commit(boot_started(first), *bulky(first, first + 19))
        probe.store.seal_due(now_ms=probe.now_ms, live=False)
    probe.store.stop(now_ms=probe.now_ms)
    probe.store.close()
    return tmp_path / "s"


def truncated(path: Path) -> None:
    """Cut the file in the middle of a page."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def header_zeroed(path: Path) -> None:
    """Zero the first 100 bytes."""
    with path.open("r+b") as file:
        file.write(bytes(100))


def first_page_zeroed(path: Path) -> None:
    """Zero the page of the schema but not its header."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(PAGE_BYTES - 100))


def emptied(path: Path) -> None:
    """Leave a file of no bytes."""
    path.write_bytes(b"")


def not_a_database(path: Path) -> None:
    """Put something else in its place."""
    path.write_bytes(b"<html>captive portal</html>\n" * 500)


def all_noise(path: Path) -> None:
    """Overwrite everything behind the header."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(1).randbytes(path.stat().st_size - 100))


def schema_no_text(path: Path) -> None:
    """Put a byte into the schema that is no UTF-8: SQLite quotes it in its message."""
    data = path.read_bytes()
    assert data.count(b"tablemetameta") == data.count(b"CREATE TABLE meta") == 1
    data = data.replace(b"tablemetameta", b"table\xa9etameta")
    path.write_bytes(data.replace(b"CREATE TABLE meta", b"CREATE TXBLE meta"))


def schema_lost(path: Path) -> None:
    """Put an empty but valid database in its place."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        header_zeroed,
        first_page_zeroed,
        emptied,
        not_a_database,
        all_noise,
        schema_no_text,
        schema_lost,
    ],
)
def test_a_damaged_file_is_set_aside_at_the_start(
    used: Path, damage: Callable[[Path], None]
) -> None:
    """New epoch, a gap, the old file kept byte by byte; and records are taken at once."""
    damage(used / STORE_FILE)
    kept = (used / STORE_FILE).read_bytes()
    probe = Probe(used, epoch_label="new epoch", now_ms=5_000)
    assert probe.store.opening_gap(5_000) == Gap(5_000, GapReason.STORE_DAMAGED, BOOT, 0, 5_000)
    assert (used / f"{STORE_FILE}.damaged-1").read_bytes() == kept
    assert not (used / SUSPECT_FILE).exists()
    probe.commit(sample(1))
    probe.store.seal(Stream.RAW)
    assert records_of(probe.store, probe.keys, Stream.RAW)[0].body == sample(1)
    assert probe.store.epoch != Probe(_fresh(used)).store.epoch


def _fresh(used: Path) -> Path:
    return used.parent / "fresh"


def exercise(folder: Path) -> Probe:
    """Start, do everything that an agent does, and read everything back; stop at no damage."""
    probe = Probe(folder, epoch_label="new epoch", now_ms=5_000, limits=LIMITS)
    gap = probe.store.opening_gap(5_000)
    assert gap is not None
    probe.commit(gap)
    for held in probe.store.held():
        seq = held.first
        while seq <= held.last:
            loaded = probe.store.load(held.stream, seq)
            seq = seq + 1 if loaded is None else loaded[0].last + 1
    number = probe.store.counts().committed[Stream.RAW]
    probe.commit(*samples(number + 1, number + 20))
    probe.store.seal_due(now_ms=10**9, live=True)
    probe.store.make_room(probe.now_ms)
    probe.commit(boot_started())
    return probe


@pytest.mark.parametrize("seed", range(16))
def test_any_overwritten_page_costs_at_most_one_restart(used: Path, seed: int) -> None:
    """One page of noise or zeros anywhere: the store works, or says so and the next start works.

    Nothing but our errors comes out, and what was lost is in a gap or in the file set aside.
    """
    rng = random.Random(seed)
    path = used / STORE_FILE
    page = rng.randrange(path.stat().st_size // PAGE_BYTES)
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(rng.choice([rng.randbytes(PAGE_BYTES), bytes(PAGE_BYTES)]))
    damaged = 0
    for _ in range(3):
        try:
            exercise(used).store.close()
        except StoreDamagedError:
            damaged += 1
            assert (used / SUSPECT_FILE).exists()
    assert damaged <= 1
    probe = exercise(used)
    assert list(used.glob("*damaged-*")) or probe.store.counts().committed[Stream.RAW] > 1000


def test_one_damaged_body_costs_one_segment(used: Path) -> None:
    """Bytes that SQLite can't miss but the header's hash does: a gap names that segment alone."""
    probe = Probe(used, now_ms=5_000, limits=LIMITS)
    row = probe.store._db.execute(
        "SELECT body FROM segment WHERE stream = 'raw' AND first_seq = 41"
    ).fetchone()
    bad = bytes([row[0][0] ^ 1]) + row[0][1:]
    probe.store._db.execute(
        "UPDATE segment SET body = ? WHERE stream = 'raw' AND first_seq = 41", (bad,)
    )
    before = probe.store.counts()
    assert probe.store.load(Stream.RAW, 50) is None
    assert probe.store.load(Stream.RAW, 41) is None
    assert probe.store.load(Stream.RAW, 40) is not None
    assert probe.store.load(Stream.RAW, 61) is not None
    assert probe.store.counts().thinned == before.thinned + 1
    probe.store.seal(Stream.EV)
    last = records_of(probe.store, probe.keys, Stream.EV)[-1].body
    assert isinstance(last, Gap)
    assert (last.reason, last.stream) == (GapReason.STORE_DAMAGED, Stream.RAW)
    assert (last.first_seq, last.last_seq) == (41, 60)


def test_one_damaged_header_costs_one_segment(used: Path) -> None:
    """A bit that only the signature shows: no server would take it. The gap claims no time."""
    probe = Probe(used, now_ms=5_000, limits=LIMITS)
    row = probe.store._db.execute(
        "SELECT header FROM segment WHERE stream = 'raw' AND first_seq = 41"
    ).fetchone()
    bad = row[0][:-1] + bytes([row[0][-1] ^ 1])
    probe.store._db.execute(
        "UPDATE segment SET header = ? WHERE stream = 'raw' AND first_seq = 41", (bad,)
    )
    assert probe.store.load(Stream.RAW, 41) is None
    assert probe.store.load(Stream.RAW, 40) is not None
    assert probe.store.load(Stream.RAW, 61) is not None
    probe.store.seal(Stream.EV)
    last = records_of(probe.store, probe.keys, Stream.EV)[-1].body
    assert isinstance(last, Gap)
    assert (last.reason, last.first_seq, last.last_seq) == (GapReason.STORE_DAMAGED, 41, 60)
    assert (last.from_boot, last.from_ms, last.to_ms) == (BOOT, 0, 0)


def test_damage_that_shows_at_run_time_is_left_to_the_next_start(used: Path) -> None:
    """The error says what happens next, the mark is set, and the next start begins anew."""
    probe = Probe(used, now_ms=5_000, limits=LIMITS)
    probe.store._db.execute("DROP TABLE segment")
    with pytest.raises(StoreDamagedError, match=r"is damaged .*start the agent again"):
        probe.store.load(Stream.RAW, 1)
    assert (used / SUSPECT_FILE).exists()
    probe.store.close()
    after = Probe(used, epoch_label="new epoch", now_ms=6_000)
    assert after.store.opening_gap(6_000) == Gap(6_000, GapReason.STORE_DAMAGED, BOOT, 0, 6_000)
    assert (used / f"{STORE_FILE}.damaged-1").exists()


def test_the_gap_is_owed_until_it_is_committed(used: Path) -> None:
    """A power cut right after setting the store aside does not forget that it was damaged."""
    header_zeroed(used / STORE_FILE)
    Probe(used, epoch_label="new epoch", now_ms=5_000).store.close()
    after = Probe(used, epoch_label="another", now_ms=7_000)
    assert after.store.opening_gap(7_000) == Gap(7_000, GapReason.STORE_DAMAGED, BOOT, 0, 7_000)
    after.commit(boot_started())
    after.store.close()
    later = Probe(used, now_ms=9_000).store.opening_gap(9_000)
    assert later is not None
    assert later.reason is GapReason.KILLED


def test_a_wal_that_rots_takes_commits_back_and_the_gap_says_so(tmp_path: Path) -> None:
    """SQLite says nothing of it; the first commit is in the file, so the time since is told."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1), safe_ms=700)
    probe.commit(sample(2), safe_ms=1_800)
    cut = probe.power_cut(tmp_path / "cut")
    wal = cut / f"{STORE_FILE}-wal"
    wal.write_bytes(bytes(wal.stat().st_size))
    after = Probe(cut, now_ms=9_000)
    assert after.store.opening_gap(9_000) == Gap(9_000, GapReason.KILLED, BOOT, 700, 9_000)
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == [sample(1)]


def test_damage_twice_keeps_both_files(used: Path) -> None:
    """Nothing that might be recovered is overwritten."""
    for number in (1, 2, 3):
        header_zeroed(used / STORE_FILE)
        probe = Probe(used, epoch_label=f"epoch {number}")
        probe.commit(boot_started())
        probe.store.close()
        names = sorted(path.name for path in used.glob("*damaged-*"))
        assert names == [f"{STORE_FILE}.damaged-{n}" for n in range(1, number + 1)]


def test_a_wal_is_set_aside_with_its_database(used: Path) -> None:
    """What was committed last is in the WAL: recovery needs both."""
    probe = Probe(used, now_ms=5_000, limits=LIMITS)
    probe.commit(*samples(1, 20))
    cut = probe.power_cut(used.parent / "cut")
    wal = (cut / f"{STORE_FILE}-wal").read_bytes()
    (cut / SUSPECT_FILE).touch()
    Probe(cut, epoch_label="new epoch")
    assert (cut / f"{STORE_FILE}.damaged-1-wal").read_bytes() == wal


@pytest.mark.parametrize("step", range(12))
def test_setting_aside_survives_a_power_cut_at_each_step(
    used: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after any step of it: the next start goes on, and never opens half of the old store."""
    probe = Probe(used, now_ms=5_000, limits=LIMITS)
    probe.commit(*samples(1, 20))
    cut = probe.power_cut(used.parent / "cut")
    (cut / SUSPECT_FILE).touch()
    done = 0

    class Cut(Exception):
        pass

    def counted(name: str) -> Callable[..., object]:
        original = getattr(Path, name)

        def call(*args: object, **options: object) -> object:
            nonlocal done
            done += 1
            if done > step:
                raise Cut
            return original(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "touch"):
            patch.setattr(Path, name, counted(name))
        try:
            open_database(cut).db.close()
        except Cut:
            assert done == step + 1
    after = Probe(cut, epoch_label="new epoch", now_ms=7_000)
    gap = after.store.opening_gap(7_000)
    assert gap == Gap(7_000, GapReason.STORE_DAMAGED, BOOT, 0, 7_000)
    assert after.store.held() == []
    whole = used.parent / "whole"
    whole.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(cut / f"{STORE_FILE}.damaged-1{suffix}", whole / f"{STORE_FILE}{suffix}")
    recovered = Probe(whole, now_ms=8_000)
    assert recovered.store.counts().committed[Stream.RAW] == 1020


def test_a_newer_schema_is_left_alone(used: Path) -> None:
    """A downgrade is refused with what to do, and touches nothing."""
    connection = sqlite3.connect(used / STORE_FILE)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreError, match=r"a newer release made it \(schema 7, .*install that"):
        Probe(used)
    assert not list(used.glob("*damaged*"))
    assert not (used / SUSPECT_FILE).exists()
