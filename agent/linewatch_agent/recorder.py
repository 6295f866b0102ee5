"""From outcomes to committed records: group commits, roll-ups, sealing, and making room.

A sample waits at most `commit_s` before it is on the disk; events go at once.
When the disk refuses, records wait in memory up to a bound, the oldest samples
go first, and a gap says so: measuring never stops for want of room.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import structlog

from linewatch_agent import clock
from linewatch_agent.plan.rollup import RollUp
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.room import Thinned
from linewatch_agent.store.store import Store, StoreCounts
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.writer import WriterThread
from linewatch_core.ids import BootId
from linewatch_core.records import Body, Gap, GapReason, Sample

log = structlog.get_logger()

COMMIT_SHARE = 0.9
"""A commit begins at this share of `commit_s`, so that it has ended before that."""
WAITING_MAX = 20_000
"""Records kept in memory while the disk refuses: some hours of default load, under 8 MB."""
RETRY_S = 5.0
SEAL_EVERY_S = 5.0


@dataclass(slots=True)
class RecorderState:
    """What `status` and the demo read."""

    counts: StoreCounts
    measured: int = 0
    dropped: int = 0
    problem: str | None = None
    waiting: int = 0


@dataclass(slots=True)
class Listeners:
    """Who is told: of sealed ranges, of ranges given up."""

    sealed: Callable[[SealedRange], None] = field(default=lambda _: None)
    dropped: Callable[[SealedRange], None] = field(default=lambda _: None)
    live: Callable[[], bool] = field(default=lambda: False)


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
        safe_ms: Callable[[], int],
        listeners: Listeners,
    ) -> None:
        self._store = store
        self._writer = writer
        self._boot = boot
        self._commit_s = commit_s * COMMIT_SHARE
        self._commit_records = commit_records
        self._safe_ms = safe_ms
        self._listeners = listeners
        self._rollup = RollUp()
        self._waiting: deque[Body] = deque()
        self._oldest_s: float | None = None
        self._urgent = False
        self._wake = asyncio.Event()
        self._lost: tuple[int, int] | None = None
        self.state = RecorderState(store.counts())

    def sample(self, sample: Sample) -> None:
        """Take one sample; it is on the disk within `commit_s`."""
        self.state.measured += 1
        self._rollup.add(sample)
        self._put(sample)
        if len(self._waiting) >= self._commit_records:
            self._wake.set()

    def event(self, body: Body) -> None:
        """Take one event; it is committed at once."""
        self._put(body)
        self._urgent = True
        self._wake.set()

    async def run(self) -> None:
        """Commit and seal, for ever."""
        while True:
            await self._rest()
            for roll in self._rollup.take_closed(clock.mono_ms()):
                self._put(roll)
            if self._due():
                await self.flush()
            else:
                await self._seal()

    async def flush(self, *, final: bool = False) -> None:
        """Commit what waits, seal what is due; with `final`, the unfinished roll-ups too."""
        if final:
            self._waiting.extend(self._rollup.take_all(clock.mono_ms()))
        while self._waiting and await self._commit():
            pass
        await self._seal()

    async def _rest(self) -> None:
        """Sleep until something is due: an urgent record, a full group, or the time."""
        self._wake.clear()
        if self._due():
            return
        wait_s = SEAL_EVERY_S
        if self._oldest_s is not None:
            wait_s = min(wait_s, self._oldest_s + self._commit_s - clock.mono_s())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _due(self) -> bool:
        if not self._waiting or self._oldest_s is None:
            return False
        return (
            self._urgent
            or len(self._waiting) >= self._commit_records
            or clock.mono_s() - self._oldest_s >= self._commit_s
        )

    def _put(self, body: Body) -> None:
        self._waiting.append(body)
        if self._oldest_s is None:
            self._oldest_s = clock.mono_s()

    async def _commit(self) -> bool:
        """Commit the oldest group; return whether it is on the disk."""
        now_ms, safe_ms = clock.mono_ms(), self._safe_ms()
        group = list(islice(self._waiting, self._commit_records))
        # Until all that waits is stored, only the first of the rest bounds what is safe.
        if len(group) < len(self._waiting):
            safe_ms = min(safe_ms, self._waiting[len(group)].mono_ms)
        try:
            await self._writer.run(
                lambda: self._store.commit(group, now_ms=now_ms, safe_ms=safe_ms)
            )
        except StoreFullError as error:
            await self._refused(error)
            return False
        for _ in group:
            self._waiting.popleft()
        self._oldest_s = clock.mono_s() if self._waiting else None
        self._urgent = False
        self.state.problem = None
        self.state.counts = await self._writer.run(self._store.counts)
        self.state.waiting = len(self._waiting)
        self._tell_overrun()
        return True

    async def _seal(self) -> None:
        live = self._listeners.live()
        try:
            sealed = await self._writer.run(
                lambda: self._store.seal_due(now_ms=clock.mono_ms(), live=live)
            )
            for one in sealed:
                self._listeners.sealed(one)
            if sealed:
                short = await self._writer.run(self._store.room_is_short)
                if short:
                    await self._make_room()
        except StoreFullError as error:
            await self._refused(error)

    async def _make_room(self) -> bool:
        thinned = await self._writer.run(lambda: self._store.make_room(clock.mono_ms()))
        if thinned is None:
            return False
        self._tell_thinned(thinned)
        return True

    def _tell_thinned(self, thinned: Thinned) -> None:
        for one in thinned.dropped:
            self._listeners.dropped(one)
        log.warning("store_thinned", segments=len(thinned.dropped), lost=len(thinned.gaps))

    async def _refused(self, error: StoreFullError) -> None:
        """Give something up on the full disk; failing that, wait with what fits in memory."""
        if self.state.problem is None:
            log.error("store_full", reason=str(error))
        self.state.problem = str(error)
        try:
            if await self._make_room():
                return
        except StoreFullError:
            pass
        self._shed()
        self.state.waiting = len(self._waiting)
        self._oldest_s = clock.mono_s() - self._commit_s + RETRY_S
        self._urgent = False

    def _shed(self) -> None:
        """Drop the oldest samples beyond what memory may hold; events and roll-ups stay."""
        excess = len(self._waiting) - WAITING_MAX
        if excess <= 0:
            return
        kept: deque[Body] = deque()
        for body in self._waiting:
            if excess > 0 and isinstance(body, Sample):
                excess -= 1
                self.state.dropped += 1
                first = body.mono_ms if self._lost is None else self._lost[0]
                self._lost = (first, body.mono_ms)
            else:
                kept.append(body)
        self._waiting = kept

    def _tell_overrun(self) -> None:
        """Write down what memory could not hold, once the disk takes records again."""
        if self._lost is None:
            return
        first_ms, last_ms = self._lost
        self._lost = None
        self.event(Gap(clock.mono_ms(), GapReason.OVERRUN, self._boot, first_ms, last_ms))
