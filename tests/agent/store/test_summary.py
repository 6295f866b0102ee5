"""The summary of segments: what a start knows without reading them, and never wrongly."""

import random
from pathlib import Path

import pytest

from linewatch_agent.store import room
from linewatch_agent.store import store as store_module
from linewatch_agent.store.database import StoreDamagedError
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import StoreLimits
from linewatch_core.records import Stream
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import NEXT_BOOT, Probe, boot_started, bulky, sample, samples

LIMITS = StoreLimits(block_records=20, free_bytes_min=0)


def listed(probe: Probe) -> Summary:
    """Return what a look at all segments says."""
    db = probe.store._db
    kept = db.get("summary")
    db.execute("DELETE FROM meta WHERE key = 'summary'")
    found = Summary.load(db)
    if kept is not None:
        db.set("summary", kept)
    return found


def check(probe: Probe) -> None:
    """Check that the summary and the segments agree."""
    all_of_it = listed(probe)
    assert probe.store._summary.ranges() == all_of_it.ranges()
    counts = probe.store.counts()
    assert (counts.segments, counts.thinned) == (
        all_of_it.bodies,
        all_of_it.segments - all_of_it.bodies,
    )


@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_a_look_at_all_segments_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Through seals, acks, thinning, power cuts and starts."""
    monkeypatch.setattr(store_module, "EVERY", 3)
    monkeypatch.setattr(room, "_SPARE_BYTES", 20_000)
    choose = random.Random(seed)
    probe = Probe(tmp_path / "0", limits=LIMITS)
    for step in range(1, 60):
        what = choose.choice(["commit", "commit", "commit", "ack", "room", "cut"])
        committed = probe.store.counts().committed[Stream.RAW]
        if what == "commit":
            probe.commit(boot_started(), *bulky(committed + 1, committed + 25))
            probe.store.seal_due(now_ms=probe.now_ms, live=choose.random() < 0.3)
        elif what == "ack":
            ack = StreamAck(choose.randrange(committed + 1))
            probe.store.save_ack(Stream.RAW, ack, now_ms=probe.now_ms)
        elif what == "room":
            probe.now_ms += choose.choice([0, 49 * 3_600_000])
            probe.store.make_room(probe.now_ms)
        else:
            folder = probe.power_cut(tmp_path / str(step))
            probe = Probe(folder, boot=NEXT_BOOT, limits=LIMITS, now_ms=probe.now_ms)
        check(probe)


def test_a_start_reads_only_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a full store costs a start no more than a small one."""
    monkeypatch.setattr(store_module, "EVERY", 10)
    probe = Probe(tmp_path / "s", limits=LIMITS)
    for first in range(1, 901, 20):
        probe.commit(*samples(first, first + 19))
        probe.store.seal_due(now_ms=probe.now_ms, live=False)
    after = Probe(probe.power_cut(tmp_path / "cut"), limits=LIMITS)
    assert after.store.counts().segments == 45
    assert after.store._summary.unwritten < 12
    check(after)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(64)])
def test_one_that_is_damaged_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    """It says nothing then; the segments do."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    probe.commit(*samples(1, 40))
    probe.store.stop(now_ms=probe.now_ms)
    probe.store._db.set("summary", damage)
    after = Probe(probe.power_cut(tmp_path / "cut"), limits=LIMITS)
    assert after.store.held() == [SealedRange(Stream.RAW, 1, 40)]


def test_a_segment_that_it_names_and_that_is_not_there_is_damage(tmp_path: Path) -> None:
    """A row that rot took is not passed over in silence."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    probe.commit(sample(1))
    probe.store.seal(Stream.RAW)
    probe.store._db.execute("DELETE FROM segment")
    with pytest.raises(StoreDamagedError):
        probe.store.load(Stream.RAW, 1)


def test_a_size_that_rotted_hides_no_segment(tmp_path: Path) -> None:
    """It lies behind the body, and may be lost with its end: what came since the last summary
    has its body, or else the damage must show."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    probe.commit(sample(1))
    probe.store.stop(now_ms=probe.now_ms)
    for number in (2, 3):
        probe.commit(sample(number))
        probe.store.seal(Stream.RAW)
    probe.store._db.execute("UPDATE segment SET body_bytes = 0 WHERE first_seq = 2")
    after = Probe(probe.power_cut(tmp_path / "cut"), limits=LIMITS)
    assert after.store.held() == [SealedRange(Stream.RAW, 1, 3)]
    assert after.store.load(Stream.RAW, 2) is not None
