"""Ties this boot's monotonic clock to UTC: looks at the kernel, listens to the server.

Writes an anchor when it tells something new; never steps a clock.
"""

import asyncio
from collections.abc import Callable

from linewatch_agent import clock
from linewatch_agent.plan.anchors import error_now_ms, is_worth_recording
from linewatch_core.records import Anchor
from linewatch_core.sync.messages import Ack, Clock
from linewatch_core.timebase import Interval

LOOK_EVERY_S = 60.0


class Timekeeper:
    """Keeps the last anchor of this boot and hands new ones to `record`."""

    def __init__(self, record: Callable[[Anchor], None]) -> None:
        self._record = record
        self._last: Anchor | None = None

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
        if self._last is None:
            return Clock()
        return Clock(error_now_ms(self._last, now_ms=clock.mono_ms()), self._last.source)

    def utc_ms(self) -> int | None:
        """Return UTC as the last anchor gives it, or None."""
        if self._last is None:
            return None
        return self._last.utc_ms + clock.mono_ms() - self._last.mono_ms

    def utc(self) -> Interval:
        """Return the interval in which UTC lies now."""
        middle_ms, error_ms = self.utc_ms(), self.present().error_ms
        if middle_ms is None or error_ms is None:
            return Interval(None, None)
        return Interval(middle_ms - error_ms, middle_ms + error_ms)

    def _offer(self, anchor: Anchor) -> None:
        if is_worth_recording(anchor, self._last):
            self._last = anchor
            self._record(anchor)
