"""The kernel's stamp says when a datagram came, however late it is read."""

import asyncio
import contextlib
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.arrivals import Arrivals
from linewatch_agent.checks.clocks import SYSTEM_CLOCK, Clock
from linewatch_agent.checks.stamps import arrived_ns, stamp_arrivals
from tests.agent.checks.lab import kernel_stamps

NOW_NS, REALTIME_NS = 10_000_000_000, 1_700_000_000_000_000_000
STOPPED = Clock(monotonic_ns=lambda: NOW_NS, realtime_ns=lambda: REALTIME_NS)
LATE_NS = 50_000_000
ANCILLARY = st.lists(
    st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([11, 25, 64]), st.binary(max_size=40)),
    max_size=3,
)


def stamp(realtime_ns: int) -> list[tuple[int, int, bytes]]:
    """Return what the kernel hands over beside a datagram that came then."""
    data = struct.pack("=qq", *divmod(realtime_ns, 1_000_000_000))
    return [(socket.SOL_SOCKET, 64, data)]


@pytest.mark.parametrize(
    ("age_ns", "expected_ns"),
    [
        (0, NOW_NS),
        (3_000_000, NOW_NS - 3_000_000),
        (2_000_000_000, NOW_NS - 2_000_000_000),
        (2_000_000_001, NOW_NS),
        (-1, NOW_NS),
        (10**18, NOW_NS),
    ],
)
def test_a_stamp_counts_unless_the_clock_was_stepped(age_ns: int, expected_ns: int) -> None:
    """An age that is negative, or longer than what it may have taken, is not believed."""
    stamped = stamp(REALTIME_NS - age_ns)
    assert arrived_ns(stamped, since_ns=NOW_NS - 2_000_000_000, clock=STOPPED) == expected_ns


@given(ANCILLARY, st.integers(0, NOW_NS))
def test_any_control_data_gives_a_possible_time(
    ancillary: list[tuple[int, int, bytes]], since_ns: int
) -> None:
    """Nothing beside a datagram makes the time impossible, or raises."""
    assert since_ns <= arrived_ns(ancillary, since_ns=since_ns, clock=STOPPED) <= NOW_NS


async def test_a_busy_loop_is_in_no_time() -> None:
    """A datagram that is read 50 ms late has the time at which it came."""
    with (
        kernel_stamps(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours,
    ):
        theirs.bind(("127.0.0.1", 0))
        stamp_arrivals(ours)
        ours.connect(theirs.getsockname())
        sent_ns = SYSTEM_CLOCK.monotonic_ns()
        ours.send(b"?")
        _, peer = theirs.recvfrom(10)
        arrivals = Arrivals(ours, SYSTEM_CLOCK, stamped_since_ns=sent_ns)
        with contextlib.closing(arrivals):
            theirs.sendto(b"!", peer)
            answered_ns = SYSTEM_CLOCK.monotonic_ns()
            reading = asyncio.create_task(arrivals.next())
            await asyncio.sleep(0)
            time.sleep(LATE_NS / 1e9)  # noqa: ASYNC251 (whatever else keeps the loop)
            at_ns, data = await reading
    assert data == b"!"
    # Of its two clocks one is read after the other, so the time is late by as much.
    assert sent_ns <= at_ns <= answered_ns + LATE_NS // 2
