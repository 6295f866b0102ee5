"""The two clocks that a check reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks that a check reads, in ns: durations are of the monotonic one.

    The realtime clock only turns the kernel's receive timestamps into monotonic time.
    """

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    realtime_ns: Callable[[], int] = time.time_ns


SYSTEM_CLOCK = Clock()
