"""Deadlines that may be met late: when the loop is awake anyway, to spare it a wake-up.

Waking costs more than most of what is then done (docs/measurements.md). Whoever has the
loop wake regularly calls `ring`; without it nothing here is ever due, so that each
waiter has a timer of its own as well, at the latest that it bears.
"""

import asyncio

LATE_S = 0.6
"""How much later a deadline may be met: about the distance of the default schedule's slots."""


class Slack:
    """The futures that wait for a deadline which may be met late."""

    def __init__(self) -> None:
        self._due_s: dict[asyncio.Future[None], float] = {}

    def add(self, waiter: "asyncio.Future[None]", due_s: float) -> None:
        """Let `ring` end `waiter` with a TimeoutError from `due_s` (the loop's time) on."""
        self._due_s[waiter] = due_s

    def discard(self, waiter: "asyncio.Future[None]") -> None:
        """Forget `waiter`."""
        self._due_s.pop(waiter, None)

    def ring(self, now_s: float) -> None:
        """End what is due at `now_s`."""
        for waiter, due_s in self._due_s.items():
            if due_s <= now_s and not waiter.done():
                waiter.set_exception(TimeoutError())
