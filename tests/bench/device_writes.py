"""Measures what a day of recording writes to the disk: `python -m tests.bench.device_writes`.

As root: an ext4 file system on a loop device, whose counters are read
(/sys/block/loopN/stat). The day is compressed: the recorder's real rules and the
real store, on simulated time. So that compressing hides no write, what the kernel
does by its own clock is made to happen: each `--journal` simulated seconds ext4's journal
commits the changed times of the store's files, and all that is dirty is written.
`--live MINUTES` runs on real time instead.
"""

import argparse
import asyncio
import ctypes
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import msgspec

from linewatch_agent.plan.settings import StoreConfig
from linewatch_agent.recorder import Listeners, Recorder
from linewatch_agent.store.database import STORE_FILE
from linewatch_agent.store.store import Store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import StoreLimits
from linewatch_agent.store.writer import WriterThread
from linewatch_core.records import Anchor, AnchorSource, Sample
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import Probe, close_all
from tests.support.records import realistic_samples

RECORDS_A_MINUTE = 20
DAY_S = 86_400
BAR_MB = 40.0
JOURNAL_S = 5
"""ext4 commits its journal this often, if anything changed; mount option `commit`."""
LEDGERS_S = 600
ANCHOR_S = 3_600


def main() -> int:
    """Print what a day writes, without and with a server; return 1 above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", type=float, default=StoreConfig().commit_s, metavar="SECONDS")
    parser.add_argument("--hours", type=float, default=24.0, help="of the day to compress")
    parser.add_argument(
        "--journal",
        type=int,
        default=JOURNAL_S,
        metavar="SECONDS",
        help="the mount option `commit`; 0: never, as with a `lazytime` that the kernel heeds",
    )
    parser.add_argument("--live", type=float, metavar="MINUTES", help="run on real time instead")
    options = parser.parse_args()
    days = options.hours / 24 if options.live is None else options.live / 1440
    worst_mb = 0.0
    for online in (False, True):
        with file_system(options.journal) as (folder, device):
            day = Day(folder, commit_s=options.commit, online=online, journal_s=options.journal)
            os.sync()
            before = sectors(device)
            commits = day.run(days * DAY_S, real=options.live is not None)
            day.probe.store.stop(now_ms=day.now_ms())
            close_all()
            os.sync()
            written_mb = (sectors(device) - before) * 512 / 1e6 / days
        worst_mb = max(worst_mb, written_mb)
        print(
            f"{'server reachable' if online else 'no server':16}  {commits / days:7.0f} "
            f"transactions a day, {written_mb:6.1f} MB written a day (bar {BAR_MB:.0f})"
        )
    return 0 if worst_mb <= BAR_MB else 1


@contextmanager
def file_system(journal_s: int) -> Iterator[tuple[Path, str]]:
    """Yield a folder on an ext4 of 256 MB, and the name of its loop device."""
    with tempfile.TemporaryDirectory() as scratch:
        image, folder = Path(scratch) / "image", Path(scratch) / "mounted"
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(256 * 1024 * 1024)
        _run(
            "mkfs.ext4",
            "-q",
            "-b",
            "4096",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
            str(image),
        )
        device = _run("losetup", "--find", "--show", str(image))
        try:
            how = f"commit={journal_s}" if journal_s else "lazytime"
            _run("mount", "-o", how, device, str(folder))
            try:
                yield folder, Path(device).name
            finally:
                _run("umount", str(folder))
        finally:
            _run("losetup", "--detach", device)


def sectors(device: str) -> int:
    """Return how many sectors of 512 bytes were written to a block device so far."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6])


class Day:
    """A recorder on simulated or real time: samples at an even pace, and all that goes beside."""

    def __init__(self, folder: Path, *, commit_s: float, online: bool, journal_s: int) -> None:
        self.probe = Probe(folder / "state", limits=StoreLimits(free_bytes_min=0))
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._commit_s = commit_s
        self._online = online
        self._journal_s = journal_s
        self._now_s = 1_000.0
        self._sealed: list[SealedRange] = []

    def now_ms(self) -> int:
        """Return the simulated time in ms."""
        return int(self._now_s * 1000)

    def run(self, seconds: float, *, real: bool) -> int:
        """Record for so long; return the number of transactions."""
        with patch("linewatch_agent.recorder.clock") as clock:
            clock.mono_s = lambda: self._now_s
            clock.mono_ms = self.now_ms
            return self._run(seconds, real=real)

    def _run(self, seconds: float, *, real: bool) -> int:
        store = self.probe.store
        recorder = Recorder(
            store,
            cast(WriterThread, _Here()),
            boot=self.probe.boot,
            commit_s=self._commit_s,
            commit_records=StoreConfig().commit_records,
            measured_ms=self.now_ms,
            listeners=Listeners(sealed=self._sealed.append, live=lambda: self._online),
        )
        supply = _samples()
        began_s, pace_s = time.monotonic(), 60 / RECORDS_A_MINUTE
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        store._db._connection.set_trace_callback(count)
        for second in range(int(seconds)):
            self._now_s = 1_000.0 + second
            if real:
                time.sleep(max(0.0, began_s + second - time.monotonic()))
            if int(second / pace_s) != int((second - 1) / pace_s):
                now_ms = self.now_ms()
                times = {
                    "mono_ms": now_ms,
                    "slot_ms": now_ms,
                    "round_ms": now_ms // 30_000 * 30_000,
                }
                recorder.sample(msgspec.structs.replace(next(supply), **times))
            if second % ANCHOR_S == 0:
                recorder.event(Anchor(self.now_ms(), self.now_ms(), 50, AnchorSource.SERVER))
            due_s = recorder._due_s()
            if second % 5 == 0 or (due_s is not None and due_s <= self._now_s):
                _finish(recorder._work())
            self._acknowledge(store)
            if second % LEDGERS_S == LEDGERS_S - 1:
                store.kept.remember("ledgers", os.urandom(200))
            if not real:
                self._kernel(second)
        os.close(self._folder)
        return commits

    def _kernel(self, second: int) -> None:
        """Do what the kernel's clock would have done by this second."""
        if self._journal_s and second % self._journal_s == 0:
            for name in (f"{STORE_FILE}-wal", STORE_FILE):
                file = os.open(self.probe.directory / name, os.O_RDONLY)
                os.fsync(file)
                os.close(file)
            _syncfs(self._folder)

    def _acknowledge(self, store: Store) -> None:
        if not self._online:
            return
        for one in self._sealed:
            store.save_ack(one.stream, StreamAck(one.last), now_ms=self.now_ms())
        self._sealed.clear()


def _samples() -> Iterator[Sample]:
    for seed in itertools.count():
        for record in realistic_samples(10_000, seed):
            yield cast(Sample, record.body)


class _Here:
    """A writer thread that is the caller's own."""

    async def run(
        self, function: Callable[[], Any], *, meanwhile: Callable[[], None] | None = None
    ) -> Any:
        return function()


def _finish(step: Coroutine[Any, Any, None]) -> None:
    asyncio.run(step)


def _syncfs(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), "syncfs")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
