"""Feeds systemd's watchdog while rounds and commits go on, and no longer.

Also bounds the agent's memory: the kernel of a Raspberry Pi enforces no
MemoryMax= unless told so at boot. Decides nothing but when to look; what a
hang is, plan/vitals.py says.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from linewatch_agent.notify import Notifier
from linewatch_agent.plan.vitals import MEMORY_BYTES_MAX, Vitals, what_hangs
from linewatch_core.errors import LinewatchError

log = structlog.get_logger()

LOOK_S = 15.0
LOOKS_A_WATCHDOG = 5
"""Looks in the time that the watchdog gives: one may fail and the next still come in time."""


class TooMuchMemoryError(LinewatchError):
    """The agent has grown past its bound; it ends in order, to be started anew."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells that the work goes on.

    Attributes:
        scheduler_late_s: as in Vitals.
        commit_late_s: as in Vitals.
        ask_store: returns once the store's thread has done nothing at all.
        words: how the agent is, in one line.
    """

    scheduler_late_s: Callable[[], float]
    commit_late_s: Callable[[], float]
    ask_store: Callable[[], Awaitable[None]]
    words: Callable[[], str]


class Heartbeat:
    """Looks at the signs, and tells systemd."""

    def __init__(
        self,
        notifier: Notifier,
        signs: Signs,
        *,
        end: Callable[[], None],
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        look_s: float = LOOK_S,
    ) -> None:
        """Prepare.

        Args:
            end: makes the agent end in order; called once memory passes its bound.
            look_s: how often to look; oftener if the watchdog is impatient.
        """
        self._notifier = notifier
        self._signs = signs
        self._end = end
        self._memory_bytes_max = memory_bytes_max
        self.look_s = min(look_s, (notifier.watchdog_s or 1e9) / LOOKS_A_WATCHDOG)
        self._asking: asyncio.Future[None] | None = None
        self._problem: str | None = None
        self.too_much: TooMuchMemoryError | None = None

    async def run(self) -> None:
        """Say that the agent is ready, then feed the watchdog while it does its work, for ever."""
        self._notifier.ready()
        while True:
            await self.look()
            await asyncio.sleep(self.look_s)

    async def look(self) -> None:
        """Look once: feed the watchdog and tell how it is, or tell what hangs."""
        answers = await self._store_answers()
        vitals = Vitals(
            self._signs.scheduler_late_s(), self._signs.commit_late_s(), answers, resident_bytes()
        )
        problem = what_hangs(vitals)
        if problem is None:
            self._notifier.alive()
        elif self._problem is None:
            log.error("work_hangs", problem=problem)
        self._problem = problem
        megabytes = f"{vitals.memory_bytes / 1e6:.0f} MB of memory"
        self._notifier.status(f"{problem or self._signs.words()}; {megabytes}")
        if vitals.memory_bytes > self._memory_bytes_max and self.too_much is None:
            self.too_much = TooMuchMemoryError(
                f"cannot go on: the agent takes {megabytes}, more than its bound of "
                f"{self._memory_bytes_max / 1e6:.0f} MB; all is kept, and systemd starts it anew"
            )
            log.error("memory_bound_passed", memory_bytes=vitals.memory_bytes)
            self._end()

    async def _store_answers(self) -> bool:
        """Return whether the store's thread answers soon; ask it nothing new while it doesn't."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._signs.ask_store())
        done, _ = await asyncio.wait({self._asking}, timeout=self.look_s)
        return bool(done)


def resident_bytes() -> int:
    """Return how much memory this process has resident (proc_pid_statm(5))."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
