"""What checks share beside the sockets of lines: the clocks that they read, and IP's words."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from linewatch_agent.line_socket import parse_ip

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
