"""How much of a line the backlog may take: a window that fits the line, and rests in between.

Pure; part of the uploader. It never measures a rate: while something waits for its
PUBACK the line is in use, so a share of the time is a share of the goodput, and an
estimate that could drift is not needed. Source: docs/wire-format.md, "Windows".
"""

from dataclasses import dataclass

BULK_BYTES_START = 8 * 1024
"""Eight seconds of a line throttled to 8 kbit/s: what is live waits no longer behind it."""
QUICK_S = 5.0
SLOW_S = 10.0
BURST_S = 3.0
"""Long against a round trip, in whose last leg a line is idle; short against a call."""
SHARE = 0.75
REST_S_MAX = 5.0


@dataclass(slots=True)
class BulkWindow:
    """How many bytes of the backlog (`roll` and old `raw`) may wait for a PUBACK.

    Doubles while PUBACKs come quickly, halves while they come slowly: on a slow line
    no long queue is built in front of what is live.
    """

    bytes_max: int
    size: int = BULK_BYTES_START

    def published(self, waited_s: float) -> None:
        """Learn how long one segment waited for its PUBACK."""
        if waited_s <= QUICK_S:
            self.size = min(self.bytes_max, self.size * 2)
        elif waited_s > SLOW_S:
            self.size = max(BULK_BYTES_START, self.size // 2)


@dataclass(slots=True)
class DutyCycle:
    """Lets old `raw` use the line for at most three quarters of the time.

    It works in bursts: some seconds of sending, then a rest of a third of what they took.
    """

    busy_since: float | None = None
    rest_until: float = 0.0

    def may_send(self, now: float) -> bool:
        """Return whether another segment may go now."""
        if self.busy_since is None:
            return now >= self.rest_until
        return now - self.busy_since < BURST_S

    def update(self, now: float, *, in_flight: bool) -> None:
        """Take whether any of it waits for a PUBACK now; a burst ends with its last one."""
        if in_flight and self.busy_since is None:
            self.busy_since = now
        elif not in_flight and self.busy_since is not None:
            rest_s = (now - self.busy_since) * (1 - SHARE) / SHARE
            self.rest_until = now + min(REST_S_MAX, rest_s)
            self.busy_since = None
