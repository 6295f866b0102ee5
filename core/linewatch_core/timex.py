"""What adjtimex(2) says of the system clock: its layout, and what that means.

Layout and meaning only: the shells of both ends make the call, with modes=0,
which needs no privilege. Source: adjtimex(2), include/uapi/linux/timex.h.
"""

import ctypes
from dataclasses import dataclass

STA_UNSYNC = 0x0040
TIME_ERROR = 5


class Timex(ctypes.Structure):
    """The head of struct timex; the rest is room that the kernel fills."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of UTC: whether it is synchronised, and its bound in ms.

    The bound saturates at 16 s and means nothing while unsynchronised.
    """

    synchronised: bool
    error_ms: int


def interpret(returned: int, timex: Timex) -> KernelClock:
    """Return what a call's result says; a call that failed (-1) counts as unsynchronised."""
    synchronised = returned not in (-1, TIME_ERROR) and not timex.status & STA_UNSYNC
    return KernelClock(synchronised, -(-timex.maxerror // 1000))
