"""The throughput check: a bounded fetch, and how fast its body came in.

What is counted is what comes after the first 16 KiB: a sender may send ten
segments before it knows anything of the line (RFC 6928), so those say nothing of
it. What is left of slow start is in the figure, so it is a lower bound of the
line's rate, and comparable only with itself at the same `bytes_max`. The cost is
known beforehand: `bytes_max` where the server honours Range (RFC 9110 section
14.2), else at most about 2.5 times that, since the window is bounded.
"""

from dataclasses import dataclass, replace

from yarl import URL

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.wishes import Wishes, window_for
from linewatch_core.details import ThroughputDetail

BYTES_MAX = 65_536
FIRST_FLIGHT_BYTES = 16_384


@dataclass(slots=True)
class Meter:
    """Counts a body as it comes in."""

    clock: Clock
    body_bytes: int = 0
    first_ns: int | None = None
    flight_ns: int | None = None
    flight_bytes: int = 0
    last_ns: int = 0

    def take(self, part: bytes) -> None:
        """Count one part."""
        self.last_ns = self.clock.monotonic_ns()
        self.body_bytes += len(part)
        if self.first_ns is None:
            self.first_ns = self.last_ns
        if self.flight_ns is None and self.body_bytes >= FIRST_FLIGHT_BYTES:
            self.flight_ns, self.flight_bytes = self.last_ns, self.body_bytes

    def detail(self, *, ended: bool) -> ThroughputDetail | None:
        """Return what was counted; None if no byte of a body came.

        Args:
            ended: the fetch read all that it wanted; else it stalled, and the time
                until now counts. A body that stalled within the first flight is
                counted whole: that slow, no ramp is to be taken off.
        """
        if self.first_ns is None:
            return None
        end_ns = self.last_ns if ended else self.clock.monotonic_ns()
        counted, begin_ns = 0, end_ns
        if self.flight_ns is not None:
            counted, begin_ns = self.body_bytes - self.flight_bytes, self.flight_ns
        elif not ended:
            counted, begin_ns = self.body_bytes, self.first_ns
        return ThroughputDetail(counted, max(0, end_ns - begin_ns) // 1000, self.body_bytes)


async def check_throughput(
    fetcher: Fetcher,
    url: URL,
    family: int,
    *,
    host: str,
    bytes_max: int | None,
    timeout_s: float,
    clock: Clock,
) -> Outcome:
    """Fetch at most `bytes_max` of `url` and return how fast they came.

    A fetch that ends by its timeout is a failure, with the detail of what came.
    """
    limit = bytes_max or BYTES_MAX
    meter = Meter(clock)
    wishes = Wishes(
        headers={"Range": f"bytes=0-{limit - 1}"},
        body_bytes_max=limit,
        window_bytes=window_for(limit),
        on_part=meter.take,
    )
    outcome = await fetcher.fetch(url, family, host=host, timeout_s=timeout_s, wishes=wishes)
    return replace(outcome, rtt_us=None, detail=meter.detail(ended=outcome.failure is None))
