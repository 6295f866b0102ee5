"""From outcomes to committed records: group commits, roll-ups, sealing, and making room.

A sample waits at most `commit_s` before it is on the disk; events go at once. What waits
is copied every few seconds to memory that outlives the process (copying.py): a kill
costs less than a power cut. When the disk refuses, records wait in memory
(plan/waiting.py): measuring never stops for want of room. Invariant: what is taken is
committed once and in order, also if whoever runs this is cancelled in the middle of a commit.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from linewatch_agent import clock
from linewatch_agent.copying import Copying
from linewatch_agent.plan.rollup import RollUp
from linewatch_agent.plan.waiting import Waiting
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.spare import SpareCopy
from linewatch_agent.store.store import Store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Closing, StoreCounts
from linewatch_agent.store.writer import WriterThread
from linewatch_core.ids import BootId
from linewatch_core.records import Body, Check, Record, Sample

log = structlog.get_logger()

_T = TypeVar("_T")

COMMIT_SHARE = 0.9
"""A commit begins at this share of `commit_s`, so that it has ended before that."""
WAITING_MAX = 20_000
"""Records kept in memory while the disk refuses: some hours of default load, under 8 MB."""
RETRY_S = 5.0
NEWS_S = 4.0
"""A check that begins to fail, or to answer again, is committed this soon: it may begin a
suspicion, and verdicts rest on what is committed."""
SEAL_EVERY_S = 30.0
"""How often to look for blocks that are old enough though nothing is measured."""


@dataclass(slots=True)
class RecorderState:
    """What `status` and the demo read; `unsealed` are committed records in open blocks."""

    counts: StoreCounts
    measured: int = 0
    dropped: int = 0
    problem: str | None = None
    waiting: int = 0
    unsealed: int = 0


@dataclass(slots=True)
class Listeners:
    """Who is told: of sealed ranges, of ranges given up, of committed records (with the time
    before which all that was measured is committed); and who says whether the uplink is up."""

    sealed: Callable[[SealedRange], None] = field(default=lambda _: None)
    dropped: Callable[[SealedRange], None] = field(default=lambda _: None)
    live: Callable[[], bool] = field(default=lambda: False)
    committed: Callable[[Sequence[Record], int], None] = field(default=lambda _, __: None)


class Recorder:
    """Owns what is measured and not yet on the disk."""

    def __init__(
        self,
        store: Store,
        writer: WriterThread,
        *,
        boot: BootId,
        commit_s: float,
        commit_records: int,
        measured_ms: Callable[[], int],
        listeners: Listeners,
        spare: SpareCopy | None = None,
        waiting_max: int = WAITING_MAX,
        retry_s: float = RETRY_S,
    ) -> None:
        """Take over an open store.

        Args:
            measured_ms: says before which time every check that began was handed over.
            spare: keeps a copy of what waits.
            waiting_max: records kept in memory while the disk refuses.
            retry_s: how long a disk that refused is left alone.
        """
        self._store = store
        self._writer = writer
        self._boot = boot
        self._commit_s = commit_s * COMMIT_SHARE
        self._commit_records = commit_records
        self._measured_ms = measured_ms
        self._listeners = listeners
        self._retry_s = retry_s
        self._rollup = RollUp()
        self._waiting = Waiting(records_max=waiting_max)
        self._copying = Copying(self._waiting, spare, measured_ms)
        self._oldest_s = 0.0
        self._urgent = False
        self._answered: dict[tuple[str, str, Check, int], bool] = {}
        self._news_s: float | None = None
        self.eager = False
        """Set while a change is suspected: what confirms it is no news by itself."""
        self._retry_at_s: float | None = None
        self._wake = asyncio.Event()
        self._step: asyncio.Task[None] | None = None
        self.state = RecorderState(store.counts())

    def sample(self, sample: Sample) -> None:
        """Take one sample; it is on the disk within `commit_s`, or NEWS_S if it is news."""
        self.state.measured += 1
        self._rollup.add(sample)
        self._put(sample)
        self._note(sample)
        if len(self._waiting) >= self._commit_records:
            self._wake.set()

    def event(self, body: Body) -> None:
        """Take one event; it is committed at once."""
        self._put(body)
        self._urgent = True
        self._wake.set()

    def take_over(self, bodies: Sequence[Body]) -> None:
        """Take what a killed run had measured and not committed, with what was taken so far.

        From here on this run's copy has it.
        """
        for body in bodies:
            if isinstance(body, Sample):
                self.sample(body)
            else:
                self._put(body)
        self._copying.copy()

    def _note(self, sample: Sample) -> None:
        """Let what waits be committed soon if a check begins to fail, or to answer again.

        So is every sample while the recorder is `eager`.
        """
        series = (sample.line, sample.target, sample.check, sample.family)
        answered = sample.failure is None
        is_news = self.eager or self._answered.get(series, answered) is not answered
        if is_news and self._news_s is None:
            self._news_s = clock.mono_s() + min(NEWS_S, self._commit_s)
            self._wake.set()
        self._answered[series] = answered

    def safe_ms(self) -> int:
        """Return the time before which all that was measured is on the disk, or told as lost."""
        return self._waiting.safe_ms(self._measured_ms())

    def late_s(self) -> float:
        """Return how long ago the next commit was due, or the next try on a disk that refuses."""
        if not self._waiting:
            return 0.0
        due_s = (
            self._retry_at_s if self._retry_at_s is not None else self._oldest_s + self._commit_s
        )
        return max(0.0, clock.mono_s() - due_s)

    async def run(self) -> None:
        """Commit and seal, for ever."""
        while True:
            await self._rest()
            await self._whole(self._work())

    async def flush(self) -> None:
        """Commit all that waits, the unfinished roll-ups too; call it once `run` was cancelled."""
        if self._step is not None:
            await self._step
        for roll in self._rollup.take_all(clock.mono_ms()):
            self._put(roll)
        await self._whole(self._commit_all())

    async def _whole(self, step: Coroutine[None, None, None]) -> None:
        """Run a step to its end, even if the caller is cancelled meanwhile.

        Else nobody would know whether the group in hand was committed, and it would be again.
        """
        self._step = asyncio.create_task(step, name="recorder-step")
        await asyncio.shield(self._step)
        self._step = None

    async def _rest(self) -> None:
        """Sleep until something is due: an urgent record, a full group, or the time."""
        self._wake.clear()
        dues_s = [one for one in (self._due_s(), self._copying.due_s()) if one is not None]
        wait_s = min([SEAL_EVERY_S, *(due_s - clock.mono_s() for due_s in dues_s)])
        if wait_s <= 0:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _due_s(self) -> float | None:
        """Return when what waits is to be committed, or None if nothing waits."""
        if not self._waiting:
            return None
        if self._retry_at_s is not None:
            return self._retry_at_s
        if self._urgent or len(self._waiting) >= self._commit_records:
            return 0.0
        due_s = self._oldest_s + self._commit_s
        return due_s if self._news_s is None else min(due_s, self._news_s)

    async def _work(self) -> None:
        now_s = clock.mono_s()
        self._copying.copy_if_due()
        for roll in self._rollup.take_closed(clock.mono_ms()):
            self._put(roll)
        due_s = self._due_s()
        if due_s is not None and now_s >= due_s:
            await self._commit_all()
        elif self._retry_at_s is None or now_s >= self._retry_at_s:
            await self._seal()
        self._keep_within_bound()

    async def _commit_all(self) -> None:
        while self._waiting and await self._commit():
            pass
        if not self._waiting:
            await self._seal()

    def _put(self, body: Body) -> None:
        if not self._waiting:
            self._oldest_s = clock.mono_s()
            self._wake.set()  # It may be due before what `_rest` sleeps for.
        if self._copying.taken():
            self._wake.set()
        self._waiting.put(body)

    async def _commit(self) -> bool:
        """Commit the oldest group; return whether to go on at once."""
        now_ms = clock.mono_ms()
        group = self._waiting.group(self._commit_records)
        safe_ms = self._waiting.safe_ms(self._measured_ms(), after=len(group), told=True)
        bodies = [*self._waiting.overrun(self._boot, now_ms=now_ms), *group]
        self._urgent, self._news_s = False, None
        mark = self._copying.mark(len(group))
        closing = self._closing(now_ms) if len(group) == len(self._waiting) else None
        try:
            done = await self._on_disk(
                lambda: self._store.commit_and_close(
                    bodies, now_ms=now_ms, safe_ms=safe_ms, closing=closing, mark=mark
                )
            )
        except StoreFullError as error:
            return await self._refused(error)
        self._waiting.stored(len(group))
        self._copying.stored()
        self._oldest_s = clock.mono_s()
        self._retry_at_s = None
        self.state.problem = None
        await self._tell_sealed(done.sealed)
        await self._look()
        self._listeners.committed(done.records, self.safe_ms())
        return True

    def _closing(self, now_ms: int) -> Closing:
        """Say which blocks the commit of all that waits closes.

        Not one of a part of it: an event among the rest may be older than what tells of it,
        and no segment may end before the one before it begins.
        """
        waited_ms = round((clock.mono_s() - self._oldest_s) * 1000)
        return Closing(
            live=self._listeners.live(),
            since_ms=now_ms - max(0, waited_ms),
            ahead_ms=round(self._commit_s * 1000),
        )

    async def _seal(self) -> None:
        live = self._listeners.live()
        try:
            sealed = await self._on_disk(
                lambda: self._store.seal_due(now_ms=clock.mono_ms(), live=live)
            )
            await self._tell_sealed(sealed)
            if sealed:
                await self._look()
        except StoreFullError as error:
            await self._refused(error)

    async def _tell_sealed(self, sealed: Sequence[SealedRange]) -> None:
        """Tell of new segments, and make room if they are the last that there was room for."""
        for one in sealed:
            self._listeners.sealed(one)
        if not sealed:
            return
        if await self._on_disk(self._store.room_is_short):
            # What is sealed is safe; a disk that leaves no room to thin in refuses the next
            # commit, and is dealt with there.
            with contextlib.suppress(StoreFullError):
                await self._make_room()

    async def _on_disk(self, function: Callable[[], _T]) -> _T:
        """Run a function on the store's thread; what is measured meanwhile is copied in time.

        A card takes seconds for a write now and then, and a kill must not cost those as well.
        """
        return await self._writer.run(function, meanwhile=self._copying.copy_if_due)

    async def _look(self) -> None:
        """Note how the store stands, on its own thread."""
        self.state.waiting = len(self._waiting)
        self.state.counts, unsealed = await self._on_disk(
            lambda: (self._store.counts(), self._store.open_records())
        )
        self.state.unsealed = sum(unsealed.values())

    async def _make_room(self) -> bool:
        thinned = await self._on_disk(lambda: self._store.make_room(clock.mono_ms()))
        if thinned is None:
            return False
        for one in thinned.dropped:
            self._listeners.dropped(one)
        log.warning("store_thinned", segments=len(thinned.dropped), lost=len(thinned.gaps))
        return True

    async def _refused(self, error: StoreFullError) -> bool:
        """Give something up on the full disk and return True; or leave it alone for a while."""
        if self.state.problem is None:
            log.error("store_full", reason=str(error))
        self.state.problem = str(error)
        try:
            if await self._make_room():
                return True
        except StoreFullError:
            pass
        self._retry_at_s = clock.mono_s() + self._retry_s
        return False

    def _keep_within_bound(self) -> None:
        """Drop what memory may not hold; only a disk that refuses lets so much wait."""
        self.state.dropped += self._waiting.shed()
        self.state.waiting = len(self._waiting)
