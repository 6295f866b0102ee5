"""From samples to the disk: groups, a disk that refuses, sealing, and the end."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from linewatch_agent import clock
from linewatch_agent.copying import SPARE_S
from linewatch_agent.recorder import NEWS_S, Listeners, Recorder
from linewatch_agent.store.database import StoreDamagedError, StoreFullError
from linewatch_agent.store.room import Thinned
from linewatch_agent.store.spare import RUN_BYTES, Mark, SpareCopy, read_spare
from linewatch_agent.store.store import Store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Closing, Committed, StoreLimits
from linewatch_agent.store.writer import WriterThread
from linewatch_core.records import Body, Gap, GapReason, Record, Roll, Sample, Stream, Transition
from tests.support.probe import Probe, boot_started, bulky, close_all, records_of, sample, samples
from tests.support.segments import BOOT

T = TypeVar("T")
NOW_MS = 60_000
"""The boot's clock: within the first window of roll-ups, after all samples of these tests."""


@pytest.fixture(autouse=True)
def boot_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the boot's clock, so that no roll-up comes of itself."""
    monkeypatch.setattr(clock, "mono_ms", lambda: NOW_MS)


class Disk:
    """A real store on a disk that can be told to refuse, to be slow, or to be damaged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.full = False
        self.refused = False
        self.broken = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.began = threading.Event()
        self.commits: list[tuple[list[Body], int]] = []
        self.marks: list[Mark] = []
        self.attempts = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit_and_close(
        self,
        bodies: Sequence[Body],
        *,
        now_ms: int,
        safe_ms: int,
        closing: Closing | None,
        mark: Mark | None,
    ) -> Committed:
        """Commit unless the disk is full."""
        self.attempts += 1
        self.began.set()
        self.go_on.wait(120)
        if self.broken:
            raise StoreDamagedError("damaged")
        self.refused = self.full
        if self.refused:
            raise StoreFullError("cannot use it: no space left on the disk")
        done = self._store.commit_and_close(
            bodies, now_ms=now_ms, safe_ms=safe_ms, closing=closing, mark=mark
        )
        self.commits.append((list(bodies), safe_ms))
        self.marks.append(mark or Mark())
        return done

    def make_room(self, now_ms: int) -> Thinned | None:
        """A disk that others filled gives nothing, also if they have just made room."""
        return None if self.full or self.refused else self._store.make_room(now_ms)


@dataclass
class Rig:
    """A recorder on a real store, and what it told its listeners."""

    probe: Probe
    disk: Disk
    recorder: Recorder
    writer: WriterThread
    sealed: list[SealedRange]
    dropped: list[SealedRange]
    committed: list[tuple[list[Record], int]]
    running: asyncio.Task[None] | None = None

    def stored(self) -> dict[Stream, int]:
        """Return how many records are on the disk."""
        return self._at_rest(self.probe.store.counts).committed

    def all_records(self, stream: Stream) -> list[Body]:
        """Seal everything and return the bodies of a stream, as a stranger reads them."""

        def read() -> list[Body]:
            self.probe.store.stop(now_ms=clock.mono_ms())
            return [r.body for r in records_of(self.probe.store, self.probe.keys, stream)]

        return self._at_rest(read)

    def _at_rest(self, function: Callable[[], T]) -> T:
        """Ask on the store's own thread: the recorder may have work in hand there."""
        return self.writer._executor.submit(function).result()

    async def end(self) -> None:
        """Cancel the loop, as the app does at a stop."""
        assert self.running is not None
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


@asynccontextmanager
async def rig(
    folder: Path,
    *,
    commit_s: float = 3600,
    commit_records: int = 60,
    waiting_max: int = 1000,
    retry_s: float = 0.05,
    measured_ms: Callable[[], int] = lambda: NOW_MS,
    live: bool = False,
    limits: StoreLimits | None = None,
    on_committed: Callable[[Recorder, Sequence[Record]], None] = lambda _, __: None,
    run: bool = True,
    memory: Path | None = None,
) -> AsyncIterator[Rig]:
    """Yield a running recorder; its store is closed at the end."""
    probe = Probe(folder / "s", limits=limits or StoreLimits(free_bytes_min=0))
    disk, writer = Disk(probe.store), WriterThread()
    sealed: list[SealedRange] = []
    dropped: list[SealedRange] = []
    committed: list[tuple[list[Record], int]] = []

    def tell(records: Sequence[Record], safe_ms: int) -> None:
        committed.append((list(records), safe_ms))
        on_committed(recorder, records)

    recorder = Recorder(
        disk,  # type: ignore[arg-type]
        writer,
        boot=BOOT,
        commit_s=commit_s,
        commit_records=commit_records,
        measured_ms=measured_ms,
        listeners=Listeners(sealed.append, dropped.append, lambda: live, tell),
        spare=None if memory is None else a_copy(memory, probe),
        waiting_max=waiting_max,
        retry_s=retry_s,
    )
    made = Rig(probe, disk, recorder, writer, sealed, dropped, committed)
    if run:
        made.running = asyncio.create_task(recorder.run())
    try:
        yield made
    finally:
        disk.go_on.set()
        if made.running is not None and not made.running.done():
            await made.end()
        if recorder._step is not None:
            await asyncio.wait([recorder._step])
        writer.close()
        close_all()


def a_copy(memory: Path, probe: Probe) -> SpareCopy:
    """Begin the copy of another run of the agent."""
    before = probe.store.last_mark.run
    name = os.urandom(RUN_BYTES)
    return SpareCopy(memory, epoch=probe.store.epoch, boot=BOOT, run=name, run_before=before)


async def until(true: Callable[[], object]) -> None:
    """Wait for what must come true soon."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def _has(r: Rig, samples_stored: int) -> bool:
    return r.stored()[Stream.RAW] == samples_stored


def of_kind(bodies: Sequence[Body], *kinds: type) -> list[Body]:
    """Return the bodies of some kinds."""
    return [body for body in bodies if isinstance(body, kinds)]


async def test_an_event_goes_at_once_and_takes_along_what_waits(tmp_path: Path) -> None:
    """One commit, though the time for samples is an hour away."""
    async with rig(tmp_path) as r:
        r.recorder.sample(sample(1))
        r.recorder.event(boot_started())
        await until(lambda: r.disk.commits)
        assert [bodies for bodies, _ in r.disk.commits] == [[sample(1), boot_started()]]


async def test_a_full_group_does_not_wait_for_its_time(tmp_path: Path) -> None:
    """The records of a group are at most what may be lost."""
    async with rig(tmp_path, commit_records=3) as r:
        for one in samples(1, 7):
            r.recorder.sample(one)
        await until(lambda: r.stored()[Stream.RAW] == 7)
        assert [len(bodies) for bodies, _ in r.disk.commits] == [3, 3, 1]


async def test_samples_wait_for_each_other_but_no_longer_than_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock that counts, the commit begins before `commit_s` is over, and not at once."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    async with rig(tmp_path, commit_s=5.0) as r:
        r.recorder.sample(sample(1))
        r.recorder._wake.set()
        await asyncio.sleep(0.05)
        assert r.disk.attempts == 0
        now["s"] = 104.0
        r.recorder.sample(sample(2))
        r.recorder._wake.set()
        await asyncio.sleep(0.05)
        assert r.disk.attempts == 0
        now["s"] = 104.9
        r.recorder._wake.set()
        await until(lambda: r.disk.commits)
        assert [len(bodies) for bodies, _ in r.disk.commits] == [2]


async def test_news_does_not_wait_for_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that answers again is on the disk in seconds: verdicts rest on what is there."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    async with rig(tmp_path) as r:
        r.recorder.sample(sample(1))
        r.recorder.sample(sample(2))
        r.recorder.sample(sample(3, target="another"))
        now["s"] += NEWS_S + 1
        r.recorder._wake.set()
        await asyncio.sleep(0.05)
        assert r.disk.attempts == 0
        r.recorder.sample(msgspec.structs.replace(sample(4), failure=None))
        await asyncio.sleep(0.05)
        assert r.disk.attempts == 0
        now["s"] += NEWS_S
        r.recorder._wake.set()
        await until(lambda: r.disk.commits)
        assert [len(bodies) for bodies, _ in r.disk.commits] == [4]


async def test_a_sample_is_on_the_disk_by_itself(tmp_path: Path) -> None:
    """Nothing else needs to happen for its time to come, also after a rest with nothing to do."""
    async with rig(tmp_path, commit_s=0.1) as r:
        await asyncio.sleep(0.05)
        r.recorder.sample(sample(1))
        await until(lambda: r.stored()[Stream.RAW] == 1)


async def test_a_stop_in_the_middle_of_a_commit_stores_the_group_once(tmp_path: Path) -> None:
    """The loop is cancelled while the disk is at it; the final flush must not do it again."""
    async with rig(tmp_path) as r:
        r.disk.go_on.clear()
        r.recorder.sample(sample(1))
        r.recorder.event(boot_started())
        await until(r.disk.began.is_set)
        await r.end()
        r.recorder.sample(sample(2))
        r.disk.go_on.set()
        await r.recorder.flush()
        assert of_kind(r.all_records(Stream.RAW), Sample) == [sample(1), sample(2)]
        assert r.all_records(Stream.EV) == [boot_started()]


async def test_the_end_writes_down_unfinished_rolls(tmp_path: Path) -> None:
    """What was counted since the last full window is not lost with the process."""
    async with rig(tmp_path) as r:
        r.recorder.sample(sample(1))
        r.recorder.sample(sample(2))
        await r.end()
        await r.recorder.flush()
        [roll] = r.all_records(Stream.ROLL)
        assert isinstance(roll, Roll)
        assert (roll.sent, roll.answered) == (2, 0)


async def test_a_refusing_disk_is_left_alone_between_tries(tmp_path: Path) -> None:
    """Full groups and events that come meanwhile do not make it try faster."""
    async with rig(tmp_path, commit_records=2, retry_s=3600) as r:
        r.disk.full = True
        for number in range(50):
            r.recorder.sample(sample(number))
            r.recorder.event(boot_started())
            await asyncio.sleep(0)
        await until(lambda: r.recorder.state.problem)
        await asyncio.sleep(0.1)
        assert r.disk.attempts == 1
        assert len(r.recorder._waiting) == 100


async def test_nothing_is_lost_or_doubled_or_reordered_by_a_full_disk(tmp_path: Path) -> None:
    """It refuses in the middle of several groups, and takes the rest later."""
    async with rig(tmp_path, commit_records=5) as r:
        for one in samples(1, 12):
            r.recorder.sample(one)
        await until(lambda: r.stored()[Stream.RAW] == 12)
        r.disk.full = True
        for one in samples(13, 40):
            r.recorder.sample(one)
        await until(lambda: r.disk.attempts > 6)
        assert "no space left" in str(r.recorder.state.problem)
        r.disk.full = False
        await until(lambda: r.stored()[Stream.RAW] == 40)
        assert r.recorder.state.problem is None
        assert r.recorder.state.dropped == 0
        assert r.all_records(Stream.RAW) == samples(1, 40)


async def test_beyond_the_bound_the_oldest_samples_go_and_a_gap_says_so(tmp_path: Path) -> None:
    """The gap is in the first commit that the disk takes again; events were all kept."""
    async with rig(tmp_path, commit_records=60, waiting_max=20) as r:
        r.disk.full = True
        r.recorder.event(boot_started())
        for one in samples(1, 59):
            r.recorder.sample(one)
        await until(lambda: r.recorder.state.dropped == 40)
        r.disk.full = False
        await until(lambda: r.disk.commits)
        first, _ = r.disk.commits[0]
        gap = first[0]
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.line, gap.from_boot) == (GapReason.OVERRUN, None, BOOT)
        assert (gap.from_ms, gap.to_ms) == (sample(1).mono_ms, sample(40).mono_ms)
        assert first[1:] == [boot_started(), *samples(41, 59)]


async def test_a_kill_while_the_disk_is_full_is_told_from_before_what_is_missing(
    tmp_path: Path,
) -> None:
    """Until the overrun is on the disk, the next start's gap begins before it."""
    async with rig(tmp_path, commit_records=3, waiting_max=10, measured_ms=lambda: 99_000) as r:
        for one in samples(1, 3):
            r.recorder.sample(one)
        await until(lambda: r.stored()[Stream.RAW] == 3)
        r.disk.full = True
        for one in samples(4, 30):
            r.recorder.sample(one)
        await until(lambda: r.recorder.state.dropped)
        assert r.recorder.safe_ms() == sample(4).mono_ms


async def test_what_is_safe_is_before_the_slowest_check_that_waits_or_runs(tmp_path: Path) -> None:
    """Groups are cut in the order in which checks ended, not in which they began."""
    async with rig(tmp_path, commit_records=2, measured_ms=lambda: 1_500, run=False) as r:
        for number in (100, 101, 102, 5, 700):
            r.recorder.sample(sample(number))
        await r.recorder._commit()
        await r.recorder._commit()
        await r.recorder._commit()
        assert [safe for _, safe in r.disk.commits] == [1_005, 1_500, 1_500]


async def test_a_last_flush_on_a_full_disk_says_what_is_not_there(tmp_path: Path) -> None:
    """It ends, and `safe_ms` is before what only memory had."""
    async with rig(tmp_path, measured_ms=lambda: 50_000) as r:
        r.disk.full = True
        r.recorder.sample(sample(7))
        await r.end()
        await r.recorder.flush()
        assert r.recorder.safe_ms() == sample(7).mono_ms


async def test_sealed_ranges_are_told(tmp_path: Path) -> None:
    """While the uplink is up, a block is closed as soon as it is old enough."""
    limits = StoreLimits(live_block_ms=0, free_bytes_min=0)
    async with rig(tmp_path, commit_records=2, live=True, limits=limits) as r:
        r.recorder.sample(sample(1))
        r.recorder.sample(sample(2))
        await until(lambda: r.sealed)
        assert r.sealed == [SealedRange(Stream.RAW, 1, 2)]
        await until(lambda: r.recorder.state.counts.segments == 1)
        assert r.recorder.state.unsealed == 0


async def test_a_store_at_its_bound_thins_the_oldest_and_says_so(tmp_path: Path) -> None:
    """Ranges are given up to the listener, and a gap names them for the reader."""
    limits = StoreLimits(block_records=20, bytes_max=2**20, free_bytes_min=0)
    async with rig(tmp_path, commit_records=20, limits=limits) as r:
        for number in range(1, 6_000, 20):
            for one in bulky(number, number + 19, answers=4):
                r.recorder.sample(one)
            await until(partial(_has, r, number + 19))
            if r.dropped:
                break
        await until(lambda: r.dropped)
        first = r.dropped[0]
        assert (first.stream, first.first) == (Stream.RAW, 1)
        [gap] = of_kind(r.all_records(Stream.EV), Gap)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.stream, gap.first_seq) == (GapReason.STORE_FULL, Stream.RAW, 1)
        assert gap.last_seq == r.dropped[-1].last


async def test_a_damaged_store_ends_the_recorder(tmp_path: Path) -> None:
    """No retry can mend it: the process must start anew."""
    async with rig(tmp_path) as r:
        r.disk.broken = True
        r.recorder.event(boot_started())
        assert r.running is not None
        with pytest.raises(StoreDamagedError):
            await r.running


async def test_a_failing_seal_does_not_spin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing waiting, a disk that refuses to seal is asked now and then, not in a loop."""
    calls = 0

    def seal_due(*, now_ms: int, live: bool) -> list[SealedRange]:
        nonlocal calls
        calls += 1
        raise StoreFullError("no space left")

    async with rig(tmp_path, retry_s=3600, run=False) as r:
        r.disk.full = True
        monkeypatch.setattr(r.disk, "seal_due", seal_due, raising=False)
        r.running = asyncio.create_task(r.recorder.run())
        r.recorder._wake.set()
        await until(lambda: r.recorder.state.problem)
        for _ in range(20):
            r.recorder._wake.set()
            await asyncio.sleep(0.005)
        assert calls == 1


async def test_a_long_sample_changes_nothing_for_its_neighbours(tmp_path: Path) -> None:
    """A record near a segment's limit is stored like any other."""
    big = msgspec.structs.replace(bulky(1, 1, answers=400)[0], line="fixed-2")
    async with rig(tmp_path, commit_records=3) as r:
        for one in (sample(1), big, sample(2)):
            r.recorder.sample(one)
        await until(lambda: r.stored()[Stream.RAW] == 3)
        assert r.all_records(Stream.RAW) == [sample(1), big, sample(2)]


def bodies_told(r: Rig) -> list[list[Body]]:
    """Return the bodies of each group that was told as committed."""
    return [[record.body for record in records] for records, _ in r.committed]


async def test_records_are_told_once_they_are_on_the_disk_and_not_before(tmp_path: Path) -> None:
    """With the numbers that the store gave them."""
    async with rig(tmp_path) as r:
        r.disk.go_on.clear()
        r.recorder.sample(sample(1))
        r.recorder.event(boot_started())
        await until(r.disk.began.is_set)
        assert r.committed == []
        r.disk.go_on.set()
        await until(lambda: r.committed)
        assert bodies_told(r) == [[sample(1), boot_started()]]
        assert [record.seq for record in r.committed[0][0]] == [1, 1]


async def test_what_is_told_as_safe_never_passes_what_still_waits(tmp_path: Path) -> None:
    """A round may lie in two groups: after the first, the second's samples are yet to come."""
    async with rig(tmp_path, commit_records=2, run=False) as r:
        for one in samples(1, 5):
            r.recorder.sample(one)
        r.running = asyncio.create_task(r.recorder.run())
        await until(lambda: len(r.committed) == 3)
        assert [safe_ms for _, safe_ms in r.committed] == [1_003, 1_005, NOW_MS]


async def test_a_check_that_still_runs_is_not_safe(tmp_path: Path) -> None:
    """What began and has not ended bounds what is told."""
    async with rig(tmp_path, measured_ms=lambda: 1_001) as r:
        r.recorder.sample(sample(5))
        r.recorder.event(boot_started())
        await until(lambda: r.committed)
        assert [safe_ms for _, safe_ms in r.committed] == [1_001]


async def test_a_disk_that_refuses_tells_nothing_until_it_takes_it(tmp_path: Path) -> None:
    """Then each record once, in order, however often it was tried."""
    async with rig(tmp_path) as r:
        r.disk.full = True
        r.recorder.event(boot_started())
        await until(lambda: r.disk.attempts >= 2)
        assert r.committed == []
        r.recorder.sample(sample(1))
        r.disk.full = False
        await until(lambda: r.committed)
        await until(lambda: _has(r, 1))
        await r.end()
        told = [body for group in bodies_told(r) for body in group]
        assert told == [boot_started(), sample(1)]


async def test_what_a_listener_records_upon_a_commit_is_committed_next(tmp_path: Path) -> None:
    """A transition follows the samples that decided it, at once and once, and is told as well."""
    verdict = Transition(1_001, "fixed-1", None, "ok", "dark", 1, 2, "dark", 1, (1,))

    def judge(recorder: Recorder, records: Sequence[Record]) -> None:
        if any(isinstance(record.body, Sample) for record in records):
            recorder.event(verdict)

    async with rig(tmp_path, commit_records=1, on_committed=judge) as r:
        r.recorder.sample(sample(1))
        await until(lambda: len(r.committed) == 2)
        assert bodies_told(r) == [[sample(1)], [verdict]]
        assert r.all_records(Stream.EV) == [verdict]


async def test_the_end_tells_what_the_last_commit_took(tmp_path: Path) -> None:
    """What is judged upon the flush is on the disk when it ends."""
    verdict = Transition(1_001, "fixed-1", None, "ok", "dark", 1, 2, "dark", 1, (1,))

    def judge(recorder: Recorder, records: Sequence[Record]) -> None:
        if any(isinstance(record.body, Sample) for record in records):
            recorder.event(verdict)

    async with rig(tmp_path, on_committed=judge) as r:
        r.recorder.sample(sample(1))
        await r.end()
        await r.recorder.flush()
        assert r.all_records(Stream.EV) == [verdict]


async def test_a_commit_that_does_not_come_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits, or not for long yet: not late; the disk hangs: later and later; then done."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    async with rig(tmp_path, commit_s=5.0, commit_records=1) as r:
        now["s"] = 500.0
        assert r.recorder.late_s() == 0
        r.disk.go_on.clear()
        r.recorder.sample(sample(1))
        await until(r.disk.began.is_set)
        now["s"] = 504.0
        assert r.recorder.late_s() == 0
        now["s"] = 540.0
        assert r.recorder.late_s() == pytest.approx(35.5)
        r.disk.go_on.set()
        await until(lambda: r.disk.commits)
        await until(lambda: r.recorder.late_s() == 0)


async def test_a_disk_that_refuses_is_not_late_while_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no hang: to start anew would lose what waits in memory."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    async with rig(tmp_path, commit_s=5.0, commit_records=1, retry_s=60) as r:
        r.disk.full = True
        r.recorder.sample(sample(1))
        await until(lambda: r.recorder._retry_at_s)
        now["s"] = 159.0
        assert r.recorder.late_s() == 0
        now["s"] = 190.0
        assert r.recorder.late_s() == pytest.approx(30.0)


async def test_what_waits_is_copied_and_what_is_stored_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In seconds the copy has it, though the commit is an hour away; a commit empties it."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    (memory := tmp_path / "memory").mkdir()
    async with rig(tmp_path, memory=memory) as r:

        def left() -> list[Body]:
            found = read_spare(memory, epoch=r.probe.store.epoch, boot=BOOT, stored=Mark())
            return [] if found is None else list(found.bodies)

        for one in samples(1, 3):
            r.recorder.sample(one)
        await asyncio.sleep(0.05)
        assert left() == []
        now["s"] += SPARE_S
        r.recorder._wake.set()
        await until(left)
        assert left() == samples(1, 3)
        assert r.disk.attempts == 0
        r.recorder.event(boot_started())
        await until(lambda: not left())
        assert [len(bodies) for bodies, _ in r.disk.commits] == [4]


async def test_a_card_that_takes_long_for_a_commit_holds_up_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured while it writes is copied as soon as ever; then all is committed once."""
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "mono_s", lambda: now["s"])
    monkeypatch.setattr("linewatch_agent.store.writer.LOOK_S", 0.01)
    (memory := tmp_path / "memory").mkdir()
    async with rig(tmp_path, memory=memory, commit_records=3) as r:

        def left() -> list[Body]:
            found = read_spare(memory, epoch=r.probe.store.epoch, boot=BOOT, stored=Mark())
            return [] if found is None else list(found.bodies)

        r.disk.go_on.clear()
        for one in samples(1, 3):
            r.recorder.sample(one)
        await until(r.disk.began.is_set)
        for one in samples(4, 5):
            r.recorder.sample(one)
        now["s"] += SPARE_S
        await until(left)
        assert left() == samples(1, 5)
        assert r.disk.commits == []
        r.disk.go_on.set()
        r.recorder.event(boot_started())
        await until(lambda: not left())
        assert r.all_records(Stream.RAW) == samples(1, 5)


async def test_a_killed_run_s_samples_are_committed_by_the_next(tmp_path: Path) -> None:
    """They follow its gap, which begins where the copy ends, and the copy goes on with them."""
    (memory := tmp_path / "memory").mkdir()
    async with rig(tmp_path, memory=memory, run=False, measured_ms=lambda: 5_000) as r:
        r.recorder.event(boot_started())
        await r.recorder._commit_all()
        r.recorder.take_over(samples(1, 70))
        epoch, stored = r.probe.store.epoch, r.disk.marks[-1]
    found = read_spare(memory, epoch=epoch, boot=BOOT, stored=stored)
    assert found is not None
    async with rig(tmp_path, memory=memory, run=False) as r:
        assert r.probe.store.last_mark == stored
        gap = r.probe.store.opening_gap(NOW_MS, spared_ms=found.safe_ms)
        assert gap == Gap(NOW_MS, GapReason.KILLED, BOOT, 5_000, NOW_MS)
        r.recorder.event(gap)
        r.recorder.take_over(found.bodies)
        await r.recorder._commit_all()
        assert [len(bodies) for bodies, _ in r.disk.commits] == [60, 11]
        assert r.all_records(Stream.RAW) == samples(1, 70)
        assert of_kind(r.all_records(Stream.EV), Gap) == [gap]


async def test_a_disk_that_fills_while_room_is_made_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the commit sealed is told, and the next commit finds out how the disk is."""

    def no_room(_: int) -> None:
        raise StoreFullError("no space left")

    limits = StoreLimits(free_bytes_min=0, block_records=5)
    async with rig(tmp_path, commit_records=5, limits=limits) as r:
        monkeypatch.setattr(r.disk, "room_is_short", lambda: True, raising=False)
        monkeypatch.setattr(r.disk, "make_room", no_room)
        for one in samples(1, 10):
            r.recorder.sample(one)
        await until(lambda: r.stored()[Stream.RAW] == 10 and r.sealed)
        assert r.running is not None
        assert not r.running.done()
        assert r.all_records(Stream.RAW) == samples(1, 10)
