"""Every kind of damaged file, on the store alone: it starts, goes on, and says what is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from linewatch_agent.store.database import STORE_FILE, StoreDamagedError
from linewatch_agent.store.values import StoreLimits
from linewatch_core.records import Gap, Stream
from tests.support.damage import DAMAGES
from tests.support.probe import NEXT_BOOT, Probe, boot_started, bulky, samples

LIMITS = StoreLimits(block_records=20, free_bytes_min=0)
STARTS = 3


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Return the folder of a store that lost power: segments, open blocks and a WAL."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    for first in range(1, 601, 20):
        probe.commit(boot_started(first), *bulky(first, first + 19))
        probe.store.seal_due(now_ms=probe.now_ms, live=False)
    probe.commit(*samples(601, 607))
    return probe.power_cut(tmp_path / "cut")


def live(folder: Path) -> Probe:
    """Start and do what an agent does: tell the gap, send all, measure, seal, make room."""
    probe = Probe(folder, boot=NEXT_BOOT, epoch_label="new epoch", now_ms=5_000, limits=LIMITS)
    gap = probe.store.opening_gap(5_000)
    assert gap is not None
    probe.commit(gap, boot_started())
    for held in probe.store.held():
        seq = held.first
        while seq <= held.last:
            loaded = probe.store.load(held.stream, seq)
            seq = seq + 1 if loaded is None else loaded[0].last + 1
    before = probe.store.counts().committed[Stream.RAW]
    probe.commit(*samples(before + 1, before + 40))
    probe.store.seal_due(now_ms=10**9, live=True)
    assert probe.store.counts().committed[Stream.RAW] == before + 40
    return probe


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_store_starts_and_goes_on(cut: Path, damage: Callable[[Path], None]) -> None:
    """At most one start ends, with our error; the one after it works, and nothing is deleted."""
    damage(cut / STORE_FILE)
    ended = 0
    for _ in range(STARTS):
        try:
            probe = live(cut)
        except StoreDamagedError:
            ended += 1
            continue
        probe.store.stop(now_ms=probe.now_ms)
        probe.store.close()
    assert ended <= 1
    final = live(cut)
    kept = list(cut.glob(f"{STORE_FILE}.damaged-*"))
    assert kept or final.store.counts().committed[Stream.RAW] >= 607 or "wal" in damage.__name__
    assert isinstance(final.store.opening_gap(6_000), Gap)


def test_there_are_twenty_kinds_at_least() -> None:
    """So many the project promises."""
    assert len(DAMAGES) >= 20
