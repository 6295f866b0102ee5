"""A full disk: one clear line, nothing committed is lost, and what goes is named exactly."""

import contextlib
import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.reserve import RESERVE_BYTES, RESERVE_FILE
from linewatch_agent.store.values import StoreLimits
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.header import parse_header
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import (
    NEXT_BOOT,
    Probe,
    boot_started,
    bulky,
    close_all,
    records_of,
    sample,
)
from tests.support.segments import BOOT

LIMITS = StoreLimits(block_records=20, free_bytes_min=0)


def fill(probe: Probe, *, commits: int = 10_000) -> int:
    """Commit and seal bulky samples until the disk refuses; return how many are committed."""
    number = probe.store.counts().committed[Stream.RAW]
    with contextlib.suppress(StoreFullError):
        for _ in range(commits):
            probe.commit(*bulky(number + 1, number + 20))
            number += 20
            probe.store.seal_due(now_ms=probe.now_ms, live=False)
    return number


@contextlib.contextmanager
def refuse() -> Iterator[None]:
    """Stand for a transaction on a disk that takes nothing."""
    raise StoreFullError("cannot use it: no space left on the disk")
    yield


def set_page_bound(probe: Probe, more: int) -> None:
    """Let the database grow by `more` pages only: SQLite's own full disk."""
    pages = probe.store._db.execute("PRAGMA page_count").fetchone()[0]
    probe.store._db.execute(f"PRAGMA max_page_count = {pages + more}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 2 MB that is ours alone; who may not mount gets a plain folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        yield folder
        return
    try:
        yield folder
    finally:
        close_all()
        subprocess.run(["umount", str(folder)], check=True)


def start(folder: Path) -> Probe:
    """Start a probe whose disk takes about 2 MB, or whose database takes no more."""
    probe = Probe(folder / "s", limits=LIMITS)
    if not folder.is_mount():
        set_page_bound(probe, 1_300)
    return probe


def thinned_headers(probe: Probe) -> dict[Stream, list[bytes]]:
    """Return the headers of segments whose body went."""
    rows = probe.store._db.execute(
        "SELECT stream, header FROM segment WHERE body IS NULL ORDER BY first_seq"
    ).fetchall()
    return {s: [header for name, header in rows if name == s] for s in Stream}


def test_the_error_is_one_line_that_says_what_to_do(small_disk: Path) -> None:
    """What, why, and what helps."""
    probe = start(small_disk)
    committed = fill(probe)
    with pytest.raises(StoreFullError) as caught:
        probe.commit(*bulky(committed + 1, committed + 500))
    assert re.fullmatch(
        r"cannot use \S+: no space left on the disk; free at least 64 MB there, "
        r"or choose another folder with --state",
        str(caught.value),
    )


def test_a_full_disk_loses_nothing_that_was_committed(small_disk: Path) -> None:
    """The refused commit is not there; all before it are, also for the next start."""
    probe = start(small_disk)
    committed = fill(probe)
    assert probe.store.counts().committed[Stream.RAW] == committed > 100
    probe.store.stop(now_ms=probe.now_ms)
    probe.store.close()
    after = Probe(small_disk / "s", boot=NEXT_BOOT, limits=LIMITS)
    gap = after.store.opening_gap(after.now_ms)
    assert gap is not None
    assert (gap.from_boot, gap.reason) == (BOOT, GapReason.REBOOTED)
    sealed = [r.body for r in records_of(after.store, after.keys, Stream.RAW)]
    assert len(sealed) == committed
    assert sealed[:20] == bulky(1, 20)


def test_a_full_disk_goes_on_for_ever(small_disk: Path) -> None:
    """Full, thin, go on: ten times what fits is taken, and never is the store stuck."""
    probe = start(small_disk)
    committed, refused = 0, 0
    while committed < 12_000:
        try:
            probe.commit(*bulky(committed + 1, committed + 20))
            committed += 20
            sealed = probe.store.seal_due(now_ms=probe.now_ms, live=False)
            if sealed and probe.store.room_is_short():
                probe.store.make_room(probe.now_ms)
        except StoreFullError:
            refused += 1
            assert refused < 40
            assert probe.store.make_room(probe.now_ms) is not None
    assert refused > 0
    assert probe.store.counts().thinned > 50
    probe.commit(boot_started())
    assert probe.store.counts().committed[Stream.RAW] == committed


def test_every_number_is_held_or_named_by_a_gap(small_disk: Path) -> None:
    """What went is exactly what the gap records in the store itself say; ev is all there."""
    probe = start(small_disk)
    probe.commit(boot_started())
    probe.store.seal(Stream.EV)
    committed = fill(probe)
    told: list[Gap] = []
    for _ in range(2):
        thinned = probe.store.make_room(probe.now_ms)
        assert thinned is not None
        told += thinned.gaps
        committed = fill(probe, commits=20)
    probe.store.make_room(probe.now_ms)
    probe.store.stop(now_ms=probe.now_ms)
    events = [r.body for r in records_of(probe.store, probe.keys, Stream.EV)]
    gaps = [body for body in events if isinstance(body, Gap)]
    assert events[0] == boot_started()
    assert gaps[: len(told)] == told
    lost = SeqSet((g.first_seq or 0, g.last_seq or 0) for g in gaps)
    held = SeqSet((h.first, h.last) for h in probe.store.held() if h.stream is Stream.RAW)
    assert not any(held.overlaps(first, last) for first, last in lost)
    assert list(SeqSet([*held, *lost])) == [(1, committed)]
    assert {(g.reason, g.stream, g.from_boot) for g in gaps} == {
        (GapReason.STORE_FULL, Stream.RAW, BOOT)
    }


def test_thinning_keeps_the_signed_headers(tmp_path: Path) -> None:
    """The chain over thinned and whole segments is unbroken; the oldest raw went first."""
    probe = Probe(tmp_path / "s", limits=StoreLimits(block_records=20, bytes_max=2**20))
    fill(probe, commits=200)
    thinned = probe.store.make_room(probe.now_ms)
    assert thinned is not None
    assert thinned.dropped[0].first == 1
    rows = probe.store._db.execute(
        "SELECT header FROM segment WHERE stream = 'raw' ORDER BY first_seq"
    ).fetchall()
    headers = [parse_header(row[0]) for row in rows]
    assert len(thinned_headers(probe)[Stream.RAW]) == len(thinned.dropped) < len(headers)
    assert thinned_headers(probe)[Stream.EV] == []
    for before, after in itertools.pairwise(headers):
        check_follows(before, after)
    assert all(probe.store.load(d.stream, d.first) is None for d in thinned.dropped)


def test_what_the_server_has_goes_first_and_needs_no_gap(tmp_path: Path) -> None:
    """Acked segments are deleted whole; what was never sent stays."""
    probe = Probe(tmp_path / "s", limits=StoreLimits(block_records=20, bytes_max=2**26))
    committed = fill(probe, commits=300)
    probe.store.save_ack(Stream.RAW, StreamAck(committed, ((1, 1000),)), now_ms=probe.now_ms)
    thinned = probe.store.make_room(probe.now_ms)
    assert thinned is not None
    assert thinned.gaps == ()
    assert min(d.first for d in thinned.dropped) == 1001
    assert probe.store.load(Stream.RAW, 1) is not None


def test_a_small_store_on_a_full_disk_gives_up_little(tmp_path: Path) -> None:
    """Others filled the disk: what the server has goes first, and the rest is not thrown after."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    committed = fill(probe, commits=60)
    probe.store.save_ack(Stream.RAW, StreamAck(committed // 2), now_ms=probe.now_ms)
    before = probe.store.counts()
    thinned = probe.store.make_room(probe.now_ms)
    assert thinned is not None
    assert thinned.gaps == ()
    assert 0 < before.segments - probe.store.counts().segments < before.segments // 4


def test_nothing_to_give_is_said(tmp_path: Path) -> None:
    """With events only, nothing goes."""
    probe = Probe(tmp_path / "s")
    probe.commit(boot_started())
    probe.store.seal(Stream.EV)
    assert probe.store.make_room(probe.now_ms) is None
    assert probe.store.load(Stream.EV, 1) is not None


def test_a_segment_of_an_earlier_boot_is_named_in_its_own_time(tmp_path: Path) -> None:
    """A gap's end is told in the boot of the gap: for an earlier boot, where this one began."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    probe.commit(sample(1), sample(2))
    probe.store.stop(now_ms=probe.now_ms)
    probe.store.close()
    after = Probe(tmp_path / "s", boot=NEXT_BOOT, now_ms=60, limits=LIMITS)
    thinned = after.store.make_room(70)
    assert thinned is not None
    assert thinned.gaps == (Gap(70, GapReason.STORE_FULL, BOOT, 1_001, 0, None, Stream.RAW, 1, 2),)


def test_an_ack_on_a_full_disk_is_remembered_and_frees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session must not end because the ack that would help can't be written."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    committed = fill(probe, commits=60)
    assert probe.store.kept.next_conn() == 1
    with monkeypatch.context() as patch:
        patch.setattr(probe.store._db, "transaction", refuse)
        with pytest.raises(StoreFullError):
            probe.commit(sample(1))
        probe.store.save_ack(Stream.RAW, StreamAck(committed), now_ms=probe.now_ms)
        assert probe.store.acks()[Stream.RAW] == StreamAck(committed)
        assert probe.store.kept.next_conn() == 2
        assert probe.store.stop(now_ms=probe.now_ms) == []
    thinned = probe.store.make_room(probe.now_ms)
    assert thinned is not None
    assert thinned.gaps == ()
    probe.commit(sample(1))
    reopened = Probe(probe.power_cut(tmp_path / "cut"))
    assert reopened.store.acks()[Stream.RAW] == StreamAck(committed)


def test_the_reserve_is_made_where_there_is_room(tmp_path: Path) -> None:
    """It is real blocks, not a promise, and it is made again after it was used."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    reserve = tmp_path / "s" / RESERVE_FILE
    assert reserve.stat().st_size == RESERVE_BYTES
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES
    reserve.unlink()
    fill(probe, commits=20)
    assert probe.store.make_room(probe.now_ms) is not None
    assert reserve.exists()


def test_the_store_has_a_bound_of_its_own(tmp_path: Path) -> None:
    """It is short of room at `bytes_max`, and no longer once room was made."""
    probe = Probe(tmp_path / "s", limits=StoreLimits(block_records=20, bytes_max=2**21))
    while not probe.store.room_is_short():
        fill(probe, commits=10)
    assert probe.store.counts().bytes >= 2**21
    probe.store.make_room(probe.now_ms)
    assert not probe.store.room_is_short()
