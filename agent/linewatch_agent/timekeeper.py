"""Ties this boot's monotonic clock to UTC: looks at the kernel, listens to the server.

Writes an anchor when it tells something new; never steps a clock. What it takes for
the time is what its own anchors say together, as the server will place them: sources
that contradict each other make it wide and disputed, and nothing picks a winner.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from linewatch_agent import clock
from linewatch_agent.plan.anchors import is_worth_recording
from linewatch_core.cones import SCALE, Cones
from linewatch_core.records import Anchor
from linewatch_core.sync.messages import Ack, Clock
from linewatch_core.timebase import Interval

LOOK_EVERY_S = 60.0
ANCHORS_KEPT = 48
"""Two days of them; older ones narrow nothing any more."""


class Timekeeper:
    """Keeps the last anchor of this boot and hands new ones to `record`."""

    def __init__(self, record: Callable[[Anchor], None]) -> None:
        self._record = record
        self._anchors: deque[Anchor] = deque(maxlen=ANCHORS_KEPT)
        self._cones: Cones | None = None

    async def run(self) -> None:
        """Look at the kernel's clock now and then, for ever."""
        while True:
            anchor = clock.ntp_anchor()
            if anchor is not None:
                self._offer(anchor)
            await asyncio.sleep(LOOK_EVERY_S)

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Take the time in the first ack of a connection; it lies in the round trip."""
        self._offer(
            clock.server_anchor(
                sent_mono_ms=int(birth_sent_s * 1000),
                received_mono_ms=clock.mono_ms() + 1,
                server_ms=ack.server_ms,
                server_error_ms=ack.server_error_ms,
            )
        )

    def present(self) -> Clock:
        """Return how well the time is known now."""
        width_ms = self.utc().width_ms
        if width_ms is None:
            return Clock()
        return Clock((width_ms + 1) // 2, self._anchors[-1].source)

    def utc_ms(self) -> int | None:
        """Return the middle of where UTC lies now, or None."""
        return self.utc().middle_ms

    def utc(self) -> Interval:
        """Return the interval in which UTC lies now."""
        if self._cones is None:
            return Interval(None, None)
        lo, hi = self._cones.bounds(clock.mono_ms())
        return Interval(lo // SCALE, -(-hi // SCALE), self._cones.disputed)

    def _offer(self, anchor: Anchor) -> None:
        last = self._anchors[-1] if self._anchors else None
        if is_worth_recording(anchor, last):
            self._anchors.append(anchor)
            self._cones = Cones(self._anchors)
            self._record(anchor)
