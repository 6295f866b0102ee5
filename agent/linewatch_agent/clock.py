"""The only place of the agent that reads a clock.

CLOCK_BOOTTIME places records: it never steps and counts through a suspend.
The kernel's own opinion of UTC comes from adjtimex with modes=0, which needs
no privilege. Source: clock_gettime(2), adjtimex(2), docs/wire-format.md "Time".
"""

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

from linewatch_core.ids import BootId, parse_boot_id
from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.timex import KernelClock, Timex, interpret

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> BootId:
    """Return the id of this boot."""
    return parse_boot_id(BOOT_ID_FILE.read_text())


def mono_ms() -> int:
    """Return CLOCK_BOOTTIME in ms."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def mono_s() -> float:
    """Return CLOCK_BOOTTIME in seconds, for machines and deadlines."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def cpu_s() -> float:
    """Return the CPU time that this process has used, in seconds."""
    return time.process_time()


def utc_now() -> datetime:
    """Return what the wall clock says, right or years wrong; only for what people read or set."""
    return datetime.now(UTC)


def kernel_clock() -> KernelClock:
    """Ask the kernel how good its UTC is; unreadable (sandboxed) counts as unsynchronised."""
    timex = Timex()
    return interpret(ctypes.CDLL(None).adjtimex(ctypes.byref(timex)), timex)


def ntp_anchor() -> Anchor | None:
    """Return an anchor from the kernel's clock if it is synchronised now, else None."""
    kernel = kernel_clock()
    if not kernel.synchronised:
        return None
    before = mono_ms()
    utc_ms = time.time_ns() // 1_000_000
    after = mono_ms()
    # One ms for each rounding, and whatever passed between the two readings.
    error_ms = kernel.error_ms + 2 + (after - before)
    return Anchor(before, utc_ms, error_ms, AnchorSource.NTP)


def server_anchor(
    *, sent_mono_ms: int, received_mono_ms: int, server_ms: int, server_error_ms: int
) -> Anchor:
    """Return the anchor that an ack to a birth gives: the server's time lies in the round trip."""
    half = (received_mono_ms - sent_mono_ms + 1) // 2
    return Anchor(sent_mono_ms + half, server_ms, half + server_error_ms + 1, AnchorSource.SERVER)
