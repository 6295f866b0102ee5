"""The simulated disk: what it keeps and loses, so that the runs above it mean something."""

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.disk import CutError, Disk, End
from tests.chaos.patches import Clock, patched
from tests.chaos.tracked import Tracked
from tests.chaos.vfs import DiskVfs

VFS = DiskVfs()


@contextmanager
def database(disk: Disk, *, synchronous: str) -> Iterator[sqlite3.Connection]:
    """Give a database on the disk, as the store opens its own."""
    with VFS.serving([disk], random.Random(1)):
        connection = sqlite3.connect(disk.root / "a.sqlite", isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        try:
            yield connection
        finally:
            connection.close()


def rows_after(disk: Disk, end: End, *, synchronous: str) -> int:
    """Commit 30 rows one by one, end the process, and count what a new one finds."""
    with database(disk, synchronous=synchronous) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA wal_checkpoint")
        for number in range(30):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        disk.cut(end)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            connection.execute("INSERT INTO t VALUES (99)")
    disk.revive()
    with database(disk, synchronous=synchronous) as connection:
        count: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        return count


@pytest.mark.parametrize("end", End)
def test_synced_commits_survive_any_end(tmp_path: Path, end: End) -> None:
    """SQLite with synchronous=FULL loses nothing, however the process ends."""
    for seed in range(10):
        disk = Disk(tmp_path / str(seed), random.Random(seed))
        assert rows_after(disk, end, synchronous="FULL") == 30


def test_unsynced_commits_survive_a_kill_but_not_a_power_cut(tmp_path: Path) -> None:
    """With synchronous=NORMAL the page cache is all there is: the disk may forget it."""
    left = []
    for seed in range(10):
        disk = Disk(tmp_path / f"killed {seed}", random.Random(seed))
        assert rows_after(disk, End.KILL, synchronous="NORMAL") == 30
        disk = Disk(tmp_path / f"cut {seed}", random.Random(seed))
        left.append(rows_after(disk, End.POWER, synchronous="NORMAL"))
    assert min(left) == 0
    assert len(set(left)) > 2


def test_a_write_may_be_torn_at_a_sector_and_lost_out_of_order() -> None:
    """Of unsynced writes any may be there, whole or up to a sector; synced bytes always are."""
    seen = set()
    for seed in range(200):
        file = Tracked(bytearray(b"old!" * 512), 2048)
        file.write(0, b"A" * 1024)
        file.write(1024, b"B" * 1024)
        seen.add(file.after_power_cut(random.Random(seed)).replace(b"old!", b"----"))
    kinds = {bytes(image[at] for at in range(0, 2048, 512)) for image in seen}
    assert {b"----", b"AABB", b"--BB", b"A---"} <= kinds
    assert all(len(image) == 2048 for image in seen)


def test_a_fuse_ends_the_process_at_that_very_change(tmp_path: Path) -> None:
    """The third change of the disk never happens, and no further one does."""
    disk = Disk(tmp_path / "disk", random.Random(1), fuse=3, fuse_end=End.KILL)
    with patched([disk], Clock(), random.Random(1)):
        descriptor = os.open(disk.root / "log", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"one ")
        os.write(descriptor, b"two ")
        for _ in range(2):
            with pytest.raises(CutError):
                os.write(descriptor, b"three")
        os.close(descriptor)
    disk.revive()
    assert (disk.root / "log").read_bytes() == b"one two "


def test_a_file_keeps_what_was_synced(tmp_path: Path) -> None:
    """A tail that was not synced may be whole, part, zeros, or gone; what was synced stays."""
    tails = set()
    for seed in range(60):
        disk = Disk(tmp_path / str(seed), random.Random(seed))
        with patched([disk], Clock(), random.Random(1)):
            descriptor = os.open(disk.root / "log", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, b"synced")
            os.fsync(descriptor)
            os.write(descriptor, b" and not")
            os.close(descriptor)
        disk.cut(End.POWER)
        disk.revive()
        data = (disk.root / "log").read_bytes()
        assert data.startswith(b"synced")
        tails.add(data[6:])
    assert {b"", b" and not"} < tails
    assert any(b"\0" in tail for tail in tails)


def test_a_full_disk_refuses_and_takes_again(tmp_path: Path) -> None:
    """No byte more than there is room for; SQLite and the system both say so."""
    disk = Disk(tmp_path / "disk", random.Random(1))
    with database(disk, synchronous="FULL") as connection:
        connection.execute("CREATE TABLE t (x)")
        disk.capacity_bytes = disk.used_bytes()
        with pytest.raises(sqlite3.OperationalError, match="full"):
            connection.execute("INSERT INTO t VALUES (?)", (bytes(9000),))
        disk.capacity_bytes = None
        connection.execute("INSERT INTO t VALUES (?)", (bytes(9000),))
        disk.read_only = True
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            connection.execute("INSERT INTO t VALUES (?)", (bytes(9000),))
        disk.read_only = False
    with patched([disk], Clock(), random.Random(1)):
        disk.capacity_bytes = disk.used_bytes() + 4
        descriptor = os.open(disk.root / "log", os.O_WRONLY | os.O_CREAT)
        assert os.write(descriptor, b"123456") == 4
        with pytest.raises(OSError, match="No space left"):
            os.write(descriptor, b"56")
        os.close(descriptor)
