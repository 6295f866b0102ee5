"""The checks that have begun and not ended: since when, and which of them hang.

Each check has timeouts of its own; one that is still there after them hangs where nobody
foresaw it, and is ended from here. One timer watches over all: one each would cost more
than some checks do.
"""

import asyncio
from dataclasses import dataclass

from linewatch_agent import clock

HANG_S = 2.0
"""How long after its own timeout a check is given up: it hangs where no timeout of its own is."""


@dataclass(slots=True, eq=False)
class Running:
    """A check that has begun and not ended; two of the same ms are two.

    It is given up at `give_up_s` of the loop's time; then `hangs` is set.
    """

    began_ms: int
    task: "asyncio.Task[None]"
    give_up_s: float
    hangs: bool = False

    def was_given_up(self) -> bool:
        """Return whether a cancellation that arrived was for hanging, and for nothing else.

        Call it once, where the task catches it: that takes the cancellation back.
        """
        return self.hangs and self.task.uncancel() == 0


class RunningChecks:
    """All checks that run now, each in a task of its own."""

    def __init__(self) -> None:
        """Begin with none."""
        self._running: set[Running] = set()
        self._timer: asyncio.TimerHandle | None = None

    def safe_ms(self) -> int:
        """Return the time before which every check that began has ended."""
        return min((running.began_ms for running in self._running), default=clock.mono_ms())

    def begin(self, limit_s: float) -> Running:
        """Note that the present task runs a check, which has so long by itself; `end` it."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        running = Running(clock.mono_ms(), task, loop.time() + limit_s + HANG_S)
        self._running.add(running)
        if self._timer is None or running.give_up_s < self._timer.when():
            self._look_at(running.give_up_s)
        return running

    def end(self, running: Running) -> None:
        """Note that a check has ended, however it did."""
        self._running.discard(running)

    def _look_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._give_up)

    def _give_up(self) -> None:
        """End the checks whose time is over, and look again when the next one's is."""
        assert self._timer is not None
        due_s, self._timer = self._timer.when(), None
        rest_s = []
        for running in self._running:
            if running.give_up_s > due_s:
                rest_s.append(running.give_up_s)
            elif not running.hangs:
                running.hangs = True
                running.task.cancel()
        if rest_s:
            self._look_at(min(rest_s))
