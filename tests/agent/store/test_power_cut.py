"""What a power cut or a kill leaves: every committed record, once, in an unbroken chain."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linewatch_agent.store.values import StoreLimits
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.segment import SEGMENT_BYTES_MAX
from tests.support.probe import (
    NEXT_BOOT,
    Probe,
    boot_started,
    bulky,
    power_cut,
    records_of,
    sample,
    samples,
    segments_of,
)
from tests.support.segments import BOOT


def test_frames_that_a_power_cut_left_become_a_segment(tmp_path: Path) -> None:
    """Three commits without a seal: their frames are one segment that the recipient opens."""
    probe = Probe(tmp_path / "s")
    for first in (1, 4, 7):
        probe.commit(*samples(first, first + 2))
    after = Probe(probe.power_cut(tmp_path / "cut"), boot=NEXT_BOOT, now_ms=50)
    (segment,) = segments_of(after.store, Stream.RAW)
    assert len(segment.frames) == 3
    assert segment.header.boot == BOOT
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == samples(1, 9)


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_at_any_moment_keeps_every_committed_record(tmp_path: Path, seed: int) -> None:
    """Commits, seals, acks, restarts and cuts in any order: each record once, chain unbroken."""
    rng = random.Random(seed)
    committed: dict[Stream, list[object]] = {stream: [] for stream in Stream}
    folder, lives = tmp_path / "0", 0
    probe = Probe(folder)
    for _ in range(60):
        chance = rng.random()
        if chance < 0.55:
            number = len(committed[Stream.RAW]) + 1
            new = samples(number, number + rng.randrange(6))
            probe.commit(*new)
            committed[Stream.RAW] += new
        elif chance < 0.65:
            event = boot_started(probe.now_ms)
            probe.commit(event)
            committed[Stream.EV].append(event)
        elif chance < 0.8:
            probe.store.seal_due(now_ms=probe.now_ms + 10**7, live=True)
        elif chance < 0.85:
            probe.store.stop(now_ms=probe.now_ms)
            probe.store.close()
            probe = Probe(folder, boot=probe.boot, now_ms=probe.now_ms)
        else:
            lives += 1
            boot = rng.choice([BOOT, NEXT_BOOT])
            folder = probe.power_cut(tmp_path / str(lives))
            probe = Probe(folder, boot=boot, now_ms=probe.now_ms)
            assert list(tmp_path.glob(f"{lives}/*damaged*")) == []
    assert lives > 2
    probe.store.stop(now_ms=probe.now_ms)
    for stream, wanted in committed.items():
        assert [r.body for r in records_of(probe.store, probe.keys, stream)] == wanted


def test_a_cut_wal_costs_the_last_commits_at_most(tmp_path: Path) -> None:
    """The WAL torn at any byte: a prefix of the commits is there, whole, and it goes on."""
    probe = Probe(tmp_path / "s")
    for number in range(1, 13):
        probe.commit(sample(number))
    wal = (tmp_path / "s" / "store.sqlite-wal").stat().st_size
    kept: list[int] = []
    for place, length in enumerate(range(0, wal + 1, max(1, wal // 14))):
        folder = power_cut(tmp_path / "s", tmp_path / f"torn{place}")
        with (folder / "store.sqlite-wal").open("r+b") as file:
            file.truncate(length)
        after = Probe(folder, now_ms=99_000)
        after.commit(sample(99))
        after.store.seal(Stream.RAW)
        bodies = [r.body for r in records_of(after.store, after.keys, Stream.RAW)]
        assert bodies == [*samples(1, len(bodies) - 1), sample(99)]
        kept.append(len(bodies) - 1)
        after.store.close()
    assert kept == sorted(kept)
    assert kept[0] == 1  # The first commit of a store is in its file, not only in the WAL.
    assert kept[-1] >= 11


def test_leftover_frames_beyond_64_kib_become_several_segments(tmp_path: Path) -> None:
    """A journal full of hostile answers is still sent whole."""
    probe = Probe(tmp_path / "s")
    wanted = bulky(1, 30, answers=256)
    for body in wanted:
        probe.commit(body)
    after = Probe(probe.power_cut(tmp_path / "cut"), now_ms=90_000)
    segments = list(segments_of(after.store, Stream.RAW))
    assert len(segments) >= 5
    assert max(len(segment.raw) for segment in segments) <= SEGMENT_BYTES_MAX
    assert [r.body for r in records_of(after.store, after.keys, Stream.RAW)] == wanted
    after.commit(sample(31))
    after.store.seal(Stream.RAW)
    assert len(records_of(after.store, after.keys, Stream.RAW)) == 31


def test_the_gap_after_a_clean_stop(tmp_path: Path) -> None:
    """Stopped: from the stop to the start."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1))
    probe.store.stop(now_ms=5_000)
    probe.store.close()
    gap = Probe(tmp_path / "s", now_ms=8_000).store.opening_gap(8_000)
    assert gap == Gap(8_000, GapReason.STOPPED, BOOT, 5_000, 8_000)


def test_a_stop_may_leave_checks_unfinished(tmp_path: Path) -> None:
    """The gap then begins where the first of them began."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1))
    probe.store.stop(now_ms=5_000, safe_ms=4_200)
    probe.store.close()
    gap = Probe(tmp_path / "s", now_ms=8_000).store.opening_gap(8_000)
    assert gap == Gap(8_000, GapReason.STOPPED, BOOT, 4_200, 8_000)


def test_the_gap_after_a_kill_begins_where_all_was_safe(tmp_path: Path) -> None:
    """Killed: from before the oldest check that was not in the last commit."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1), safe_ms=700)
    probe.commit(sample(2), safe_ms=1_800)
    after = Probe(probe.power_cut(tmp_path / "cut"), now_ms=9_000)
    assert after.store.opening_gap(9_000) == Gap(9_000, GapReason.KILLED, BOOT, 1_800, 9_000)


@pytest.mark.parametrize("clean", [True, False])
def test_the_gap_after_a_reboot_spans_two_boots(tmp_path: Path, clean: bool) -> None:
    """From the last safe moment of the boot before to this start; boots have their own clocks."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1), safe_ms=700)
    if clean:
        probe.store.stop(now_ms=5_000)
    after = Probe(probe.power_cut(tmp_path / "cut"), boot=NEXT_BOOT, now_ms=40)
    from_ms = 5_000 if clean else 700
    assert after.store.opening_gap(40) == Gap(40, GapReason.REBOOTED, BOOT, from_ms, 40)


def test_a_gap_stays_until_something_is_committed(tmp_path: Path) -> None:
    """An agent that is cut again before its first commit still owes the same gap."""
    probe = Probe(tmp_path / "s")
    probe.commit(sample(1), safe_ms=700)
    folder = probe.power_cut(tmp_path / "cut")
    for boot in (NEXT_BOOT, BOOT):
        again = Probe(folder, boot=boot, now_ms=9_000)
        gap = again.store.opening_gap(9_000)
        assert gap is not None
        assert (gap.from_boot, gap.from_ms) == (BOOT, 700)
        folder = again.power_cut(tmp_path / f"cut {boot}")


WRITER = """
import sys, json
from pathlib import Path
from tests.support.probe import Probe, samples
from linewatch_agent.store.values import StoreLimits
probe = Probe(Path(sys.argv[1]), limits=StoreLimits(block_records=50, free_bytes_min=0),
              now_ms=int(sys.argv[2]))
number = probe.store.counts().committed["raw"]
print(json.dumps({"start": number}), flush=True)
while True:
    probe.commit(*samples(number + 1, number + 7))
    number += 7
    print(json.dumps({"durable": number}), flush=True)
    probe.store.seal_due(now_ms=probe.now_ms, live=True)
"""


def test_kill_9_at_random_moments_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    """A real process that commits in a loop, killed again and again: no promise is broken."""
    rng = random.Random(4)
    folder = tmp_path / "s"
    promised = 0
    root = Path(__file__).parents[3]
    for life in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(10_000 * (life + 1))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        assert process.stdout is not None
        start = json.loads(process.stdout.readline())["start"]
        assert promised <= start <= promised + 7
        for _ in range(rng.randrange(1, 40)):
            promised = json.loads(process.stdout.readline())["durable"]
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().splitlines():
            if line.endswith("}"):
                promised = json.loads(line)["durable"]
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    after = Probe(folder, now_ms=10**6, limits=StoreLimits(free_bytes_min=0))
    bodies = [r.body for r in records_of(after.store, after.keys, Stream.RAW)]
    assert promised <= len(bodies) <= promised + 7
    assert bodies == samples(1, len(bodies))
