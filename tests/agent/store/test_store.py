"""Commit, seal, load and acks on real SQLite, with the disk well."""

import os
import sqlite3
from pathlib import Path

import pytest

from linewatch_agent.store import chains
from linewatch_agent.store.database import STORE_FILE, StoreFullError
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Closing, StoreCounts, StoreLimits
from linewatch_core.records import ROLL_WINDOW_MS, Check, Roll, Stream
from linewatch_core.segment.segment import SEGMENT_BYTES_MAX, parse_segment
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import (
    NEXT_BOOT,
    Probe,
    boot_started,
    bulky,
    records_of,
    sample,
    samples,
    segments_of,
)


def roll(number: int) -> Roll:
    """Return a roll-up."""
    return Roll(ROLL_WINDOW_MS * (number + 1), number, "fixed-1", "bank", Check.TCP, 10, 10, {})


def test_what_was_committed_comes_out_of_its_segment(tmp_path: Path) -> None:
    """Three streams in one commit, each numbered from 1, sealed and opened by the recipient."""
    probe = Probe(tmp_path / "s")
    numbered = probe.store.commit(
        [boot_started(), sample(1), roll(1), sample(2)], now_ms=2_000, safe_ms=2_000
    )
    assert [(type(r.body).__name__, r.seq) for r in numbered] == [
        ("BootStarted", 1),
        ("Sample", 1),
        ("Sample", 2),
        ("Roll", 1),
    ]
    assert probe.store.open_records() == {Stream.EV: 1, Stream.ROLL: 1, Stream.RAW: 2}
    sealed = probe.store.stop(now_ms=3_000)
    assert [(s.stream, s.first, s.last) for s in sealed] == [
        (Stream.EV, 1, 1),
        (Stream.ROLL, 1, 1),
        (Stream.RAW, 1, 2),
    ]
    assert [r.body for r in records_of(probe.store, probe.keys, Stream.RAW)] == samples(1, 2)
    assert [r.body for r in records_of(probe.store, probe.keys, Stream.EV)] == [boot_started()]
    assert [r.body for r in records_of(probe.store, probe.keys, Stream.ROLL)] == [roll(1)]


def test_a_new_store_holds_nothing(tmp_path: Path) -> None:
    """No gap is claimed on the very first start."""
    probe = Probe(tmp_path / "s")
    assert probe.store.opening_gap(5) is None
    assert probe.store.held() == []
    assert probe.store.load(Stream.RAW, 1) is None
    assert probe.store.acks() == dict.fromkeys(Stream, StreamAck(0))
    assert probe.store.counts().committed == StoreCounts.of_nothing().committed


@pytest.mark.parametrize(
    ("limits", "live", "wait_ms"),
    [
        (StoreLimits(block_records=10), False, 0),
        (StoreLimits(block_bytes=100), False, 0),
        (StoreLimits(block_ms=600_000), False, 600_000),
        (StoreLimits(live_block_ms=60_000), True, 60_000),
    ],
)
def test_a_block_closes_when_it_is_full_or_old(
    tmp_path: Path, limits: StoreLimits, live: bool, wait_ms: int
) -> None:
    """By records, by bytes, by age, and sooner while the uplink is up."""
    probe = Probe(tmp_path / "s", limits=limits)
    began_ms = probe.now_ms
    probe.commit(*samples(1, 10))
    if wait_ms:
        assert probe.store.seal_due(now_ms=began_ms + wait_ms - 1, live=live) == []
    (sealed,) = probe.store.seal_due(now_ms=began_ms + wait_ms, live=live)
    assert (sealed.stream, sealed.first, sealed.last) == (Stream.RAW, 1, 10)
    assert probe.store.seal_due(now_ms=began_ms + 10**9, live=True) == []


def test_a_segment_is_found_by_any_of_its_numbers(tmp_path: Path) -> None:
    """Every seq leads to its own segment, and numbers beyond to none."""
    probe = Probe(tmp_path / "s")
    for first in (1, 6, 11):
        probe.commit(*samples(first, first + 4))
        probe.store.seal(Stream.RAW)
    probe.commit(*samples(16, 18))
    for seq in range(1, 16):
        loaded = probe.store.load(Stream.RAW, seq)
        assert loaded is not None
        header = parse_segment(loaded[1]).header
        assert header.first_seq <= seq <= header.last_seq
        assert (loaded[0].first, loaded[0].last) == (header.first_seq, header.last_seq)
    for seq in (0, 16, 18, 999):
        assert probe.store.load(Stream.RAW, seq) is None
    assert [(h.first, h.last) for h in probe.store.held()] == [(1, 15)]


def test_an_ack_is_remembered(tmp_path: Path) -> None:
    """More than before with the next commit, less than before at once, all of it at a stop."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 5))
    kept = StreamAck(0)
    plan = (
        (StreamAck(5), False, kept),
        (StreamAck(5), True, StreamAck(5)),
        (StreamAck(5, ((2, 3),)), False, StreamAck(5, ((2, 3),))),
        (StreamAck(1), False, StreamAck(1)),
        (StreamAck(4), False, StreamAck(1)),
    )
    for number, (ack, commits, kept) in enumerate(plan):
        probe.store.save_ack(Stream.RAW, ack, now_ms=9)
        assert probe.store.acks()[Stream.RAW] == ack
        if commits:
            probe.commit(sample(6))
        reopened = Probe(probe.power_cut(tmp_path / f"copy{number}"))
        assert reopened.store.acks()[Stream.RAW] == kept
    probe.store.stop(now_ms=10)
    assert Probe(probe.power_cut(tmp_path / "stopped")).store.acks()[Stream.RAW] == StreamAck(4)
    probe.store.save_ack(Stream.RAW, StreamAck(6), now_ms=11)
    assert Probe(probe.power_cut(tmp_path / "after")).store.acks()[Stream.RAW] == StreamAck(6)


def test_connection_numbers_ascend_over_power_cuts(tmp_path: Path) -> None:
    """No number is given twice in the life of a store, however often it is cut."""
    folder = tmp_path / "0"
    given: list[int] = []
    for start in range(1, 5):
        probe = Probe(folder)
        given += [probe.store.kept.next_conn() for _ in range(start * 30)]
        folder = probe.power_cut(tmp_path / str(start))
    assert given == sorted(set(given))


def test_a_card_image_shows_nothing(tmp_path: Path) -> None:
    """No target, line, failure, address or word of an event is in any byte of the folder."""
    probe = Probe(tmp_path / "s")
    words = [b"resolver-a", b"fixed-1", b"generic_timeout_error", b"192.0.2.", b"0.1.0", b"icmp"]
    for first in range(1, 200, 20):
        probe.commit(boot_started(), roll(first), *samples(first, first + 19))
    probe.store.seal(Stream.RAW)
    probe.commit(*samples(200, 210))
    probe.store.save_ack(Stream.RAW, StreamAck(100), now_ms=1)
    files = [path for path in (tmp_path / "s").iterdir() if path.is_file()]
    image = b"".join(path.read_bytes() for path in files)
    assert {"store.sqlite", "store.sqlite-wal"} <= {path.name for path in files}
    assert b"CREATE TABLE segment" in image
    assert [word for word in words if word in image] == []


def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    """No file in it can be read by another user."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 3))
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "s").iterdir()}
    assert set(modes.values()) == {0}
    assert STORE_FILE in modes


def test_huge_records_are_split_over_several_segments(tmp_path: Path) -> None:
    """Hostile DNS answers of 16 kB each: one commit of 30 becomes segments within the limit."""
    probe = Probe(tmp_path / "s")
    wanted = bulky(1, 30, answers=256)
    probe.commit(*wanted)
    (sealed,) = probe.store.seal_due(now_ms=probe.now_ms, live=False)
    assert (sealed.first, sealed.last) == (1, 30)
    segments = list(segments_of(probe.store, Stream.RAW))
    assert len(segments) >= 5
    assert all(len(segment.raw) <= SEGMENT_BYTES_MAX for segment in segments)
    assert [r.body for r in records_of(probe.store, probe.keys, Stream.RAW)] == wanted


def test_segments_that_were_split_share_no_block_key(tmp_path: Path) -> None:
    """The key of one segment, shown to somebody, opens no other."""
    probe = Probe(tmp_path / "s")
    probe.commit(*bulky(1, 30, answers=256))
    probe.store.seal(Stream.RAW)
    boxes = [segment.boxes for segment in segments_of(probe.store, Stream.RAW)]
    assert len(set(boxes)) == len(boxes)


def test_a_block_of_very_many_records_is_split(tmp_path: Path) -> None:
    """After a full disk thousands may wait in one block: more than one block may hold."""
    probe = Probe(tmp_path / "s")
    for first in range(1, 5001, 500):
        probe.commit(*samples(first, first + 499))
    probe.store.seal(Stream.RAW)
    assert len(records_of(probe.store, probe.keys, Stream.RAW)) == 5000


def test_a_record_that_fits_no_segment_is_a_bug_and_harms_nothing(tmp_path: Path) -> None:
    """It is refused whole, and what comes next gets its number."""
    probe = Probe(tmp_path / "s")
    with pytest.raises(ValueError, match="cannot store record 2"):
        probe.commit(sample(1), *bulky(2, 2, answers=2500))
    probe.commit(sample(7))
    probe.store.seal(Stream.RAW)
    assert [r.body for r in records_of(probe.store, probe.keys, Stream.RAW)] == [sample(7)]


def test_the_store_answers_the_uplink_after_a_stop(tmp_path: Path) -> None:
    """The last segments are sent and acknowledged after everything was sealed."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 3))
    probe.store.stop(now_ms=9_000)
    assert probe.store.load(Stream.RAW, 2) is not None
    probe.store.save_ack(Stream.RAW, StreamAck(3), now_ms=9_500)
    probe.store.close()
    reopened = Probe(tmp_path / "s", now_ms=10_000)
    gap = reopened.store.opening_gap(10_000)
    assert gap is not None
    assert (gap.reason, gap.from_ms) == ("stopped", 9_000)
    assert reopened.store.acks()[Stream.RAW] == StreamAck(3)


def test_use_after_close_is_a_bug_and_not_damage(tmp_path: Path) -> None:
    """A closed store that is asked once more is found whole by the next start."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 3))
    probe.store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        probe.store.load(Stream.RAW, 1)
    assert sorted(os.listdir(tmp_path / "s")) == [
        "signing.keys",
        "store.reserve",
        "store.sqlite",
    ]
    assert Probe(tmp_path / "s").store.counts().committed[Stream.RAW] == 3


CLOSING = Closing(live=True, since_ms=0, ahead_ms=27_000)
"""The block is a minute old, for it began at 0."""


def test_a_commit_closes_what_is_due_in_its_own_transaction(tmp_path: Path) -> None:
    """One transaction; the block's records and the new ones are one segment; nothing is left."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 5))
    statements: list[str] = []
    probe.store._db._connection.set_trace_callback(statements.append)
    done = probe.store.commit_and_close(
        samples(6, 8), now_ms=60_000, safe_ms=60_000, closing=CLOSING
    )
    probe.store._db._connection.set_trace_callback(None)
    assert statements.count("COMMIT") == 1
    assert [record.body for record in done.records] == samples(6, 8)
    assert done.sealed == [SealedRange(Stream.RAW, 1, 8)]
    assert sum(probe.store.open_records().values()) == 0
    after = Probe(probe.power_cut(tmp_path / "cut"), boot=NEXT_BOOT)
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == samples(1, 8)
    assert len(list(segments_of(after.store, Stream.RAW))) == 1


def test_what_is_not_due_before_the_next_commit_stays_open(tmp_path: Path) -> None:
    """A block that will be old enough only after that gets the records as a frame."""
    probe = Probe(tmp_path / "s")
    young = Closing(live=True, since_ms=40_000, ahead_ms=27_000)
    done = probe.store.commit_and_close(samples(1, 3), now_ms=60_000, safe_ms=60_000, closing=young)
    assert done.sealed == []
    assert probe.store.open_records()[Stream.RAW] == 3


def test_without_room_for_a_segment_the_records_are_committed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing can wait; what was measured can not."""

    def refuse(*_: object) -> None:
        raise StoreFullError("no space left")

    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(chains, "put_segments", refuse)
        done = probe.store.commit_and_close(
            samples(3, 4), now_ms=60_000, safe_ms=60_000, closing=CLOSING
        )
    assert done.sealed == []
    after = Probe(probe.power_cut(tmp_path / "cut"), boot=NEXT_BOOT)
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == samples(1, 4)


def test_an_ack_that_waits_and_a_block_that_closes_do_not_undo_each_other(tmp_path: Path) -> None:
    """Both are in the row of the stream, and both are there after a power cut."""
    probe = Probe(tmp_path / "s")
    probe.commit(*samples(1, 3))
    probe.store.seal(Stream.RAW)
    probe.commit(*samples(4, 5))
    probe.store.save_ack(Stream.RAW, StreamAck(3), now_ms=probe.now_ms)
    probe.store.commit_and_close(samples(6, 6), now_ms=60_000, safe_ms=60_000, closing=CLOSING)
    probe.commit(*samples(7, 8))
    after = Probe(probe.power_cut(tmp_path / "cut"), boot=NEXT_BOOT)
    assert after.store.acks()[Stream.RAW] == StreamAck(3)
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == samples(1, 8)
