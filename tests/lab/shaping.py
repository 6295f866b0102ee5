"""When a packet leaves a link: delay, loss and rate, as values.

Pure: time and randomness are arguments. A queue with no room drops what comes
(tail drop), as the buffer of a slow line does.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

QUEUE_S_MAX = 1.0
"""A second of buffer: what mobile networks are known to have (bufferbloat)."""
MIN_PACKETS = 8
"""Yet room for this many full packets, or a very slow line would pass nothing."""
FLOWS_MAX = 4096
_PACKET_BYTES = 1500


@dataclass(slots=True)
class Bucket:
    """A queue that empties at a rate. `rate_kbit` None: at once."""

    rate_kbit: float | None
    _free_at_s: float = 0.0

    def leaves_at(self, size_bytes: int, now_s: float) -> float | None:
        """Return when a packet that comes now has left, or None if there is no room."""
        if self.rate_kbit is None:
            return now_s
        bytes_per_s = self.rate_kbit * 125
        room_s = max(QUEUE_S_MAX, MIN_PACKETS * _PACKET_BYTES / bytes_per_s)
        begins_s = max(now_s, self._free_at_s)
        if begins_s - now_s > room_s:
            return None
        self._free_at_s = begins_s + size_bytes / bytes_per_s
        return self._free_at_s


@dataclass(slots=True)
class Throttle:
    """A rate that every flow has for itself; what names no flow shares one."""

    rate_kbit: float
    _buckets: dict[Hashable, Bucket] = field(default_factory=dict)

    def leaves_at(self, size_bytes: int, now_s: float, flow: Hashable = None) -> float | None:
        """Return when a packet has left, or None if its flow's queue has no room."""
        bucket = self._buckets.pop(flow, None) or Bucket(self.rate_kbit)
        self._buckets[flow] = bucket
        if len(self._buckets) > FLOWS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return bucket.leaves_at(size_bytes, now_s)


@dataclass(slots=True)
class Shape:
    """One direction of a link.

    Attributes:
        delay_s: one way.
        loss: share of packets lost, 0 to 1.
        rate_kbit: None is as fast as the relay goes.
        throttles: where packets wait instead of the link, by the number of their rule.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    rate_kbit: float | None = None
    throttles: dict[int, Throttle] = field(default_factory=dict)
    _link: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self._link = Bucket(self.rate_kbit)

    def due_at(
        self,
        size_bytes: int,
        now_s: float,
        *,
        throttle: int | None,
        dice: float,
        flow: Hashable = None,
    ) -> float | None:
        """Return when a packet comes out at the other end, or None if it is lost.

        `dice` is uniform in 0 to 1.
        """
        if dice < self.loss:
            return None
        # What a throttle held back is too slow to fill the link, and must not hold up others.
        if throttle is None:
            at_s = self._link.leaves_at(size_bytes, now_s)
        else:
            at_s = self.throttles[throttle].leaves_at(size_bytes, now_s, flow)
        return None if at_s is None else at_s + self.delay_s
