"""The only place of the server that reads a clock, and says how good it is.

Source: adjtimex(2).
"""

import ctypes
import time
from dataclasses import dataclass

from linewatch_core.timex import Timex, interpret

UNSYNCHRONISED_ERROR_MS = 60_000
"""What is claimed of a server's clock that no time service keeps: a guess on the safe side,
which `clock.error_ms` in server.toml replaces."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """Reads this machine's clocks; `fixed_error_ms` overrides what the kernel says of UTC."""

    fixed_error_ms: int | None = None

    def utc_ms(self) -> int:
        """Return Unix time in ms."""
        return time.time_ns() // 1_000_000

    def mono_s(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def error_ms(self) -> int:
        """Return the bound of `utc_ms`."""
        if self.fixed_error_ms is not None:
            return self.fixed_error_ms
        timex = Timex()
        kernel = interpret(ctypes.CDLL(None).adjtimex(ctypes.byref(timex)), timex)
        return kernel.error_ms + 1 if kernel.synchronised else UNSYNCHRONISED_ERROR_MS
