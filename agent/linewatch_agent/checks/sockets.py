"""The sockets of checks, and the clocks that a check reads.

Every socket of a check is made by `line_socket`, so it is bound to the line's device
before it is connected or sends its first byte.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from linewatch_agent.line_socket import AF, line_socket, parse_ip, sockaddr

__all__ = [
    "AF",
    "Clock",
    "ip_version",
    "line_socket",
    "parse_ip",
    "sockaddr",
]

UDP_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks that a check reads, in ns: durations are of the monotonic one.

    The realtime clock only turns the kernel's receive timestamps into monotonic time.
    """

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    realtime_ns: Callable[[], int] = time.time_ns


SYSTEM_CLOCK = Clock()


def ip_version(address: str) -> int:
    """Return 4 or 6 for an address literal; ValueError for anything else."""
    return parse_ip(address).version
