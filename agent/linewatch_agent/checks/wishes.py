"""What other checks ask of a fetch beyond the http check: headers, limits, the body's parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a fetch does otherwise than the http check.

    Attributes:
        headers: sent besides the usual ones.
        body_bytes_max: how much of the body is read; default: as the http check.
        window_bytes: about the most that the peer may send unread (SO_RCVBUF: the kernel
            grows a TCP_WINDOW_CLAMP by itself), so that a fetch that stops early costs
            little more than what it read.
        on_part: gets each part of the body as it comes.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes_max: int | None = None
    window_bytes: int | None = None
    on_part: Callable[[bytes], None] = lambda part: None  # noqa: ARG005


NO_WISHES = Wishes()
_FLIGHT_SLACK_BYTES = 8_192


def window_for(body_bytes_max: int) -> int:
    """Return the window that bounds what a fetch of so many bytes costs, without slowing it.

    Slow start doubles its flights, so none is above half of the whole and half a
    first one. Where the body is longer than what is read, at most about twice the
    window comes on top. The kernel caps it at net.core.rmem_max (208 KiB).
    """
    return body_bytes_max // 2 + _FLIGHT_SLACK_BYTES
