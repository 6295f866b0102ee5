"""When a datagram came, by the kernel: a busy event loop is in no time that is measured so.

The kernel stamps with the wall clock, which may step; an age that can't be is not
believed. Source: socket(7) SO_TIMESTAMPNS; docs/measurements.md for the bias.
"""

import socket
import struct

from linewatch_agent.checks.clocks import Clock

Ancillary = list[tuple[int, int, bytes]]
STAMP_BYTES = 64
"""Room for a stamp beside a datagram, with its header (cmsg(3)): 32 bytes at most."""

_TIMESTAMPNS_NEW = 64
"""Two 64-bit numbers on every architecture; the old option (35) is 32-bit on armv7."""


def stamp_arrivals(sock: socket.socket) -> None:
    """Have the kernel stamp what comes on a datagram socket; OSError if it can't."""
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS_NEW, 1)


def arrived_ns(ancillary: Ancillary, *, since_ns: int, clock: Clock) -> int:
    """Return when a datagram that was just read came, in monotonic ns.

    Args:
        ancillary: what came beside it.
        since_ns: it can't have come before. The present counts where the stamp says so:
            the wall clock was stepped in between.
    """
    # In this order: an interruption between the two can't make the age exceed what elapsed.
    realtime_ns = clock.realtime_ns()
    now_ns = clock.monotonic_ns()
    stamp_ns = _stamp_ns(ancillary)
    age_ns = 0 if stamp_ns is None else realtime_ns - stamp_ns
    return now_ns - age_ns if 0 <= age_ns <= now_ns - since_ns else now_ns


def _stamp_ns(ancillary: Ancillary) -> int | None:
    """Return the kernel's stamp (realtime ns), or None if there is none."""
    for level, option, data in ancillary:
        if (level, option) == (socket.SOL_SOCKET, _TIMESTAMPNS_NEW) and len(data) >= 16:
            seconds, nanoseconds = struct.unpack_from("=qq", data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
