"""What comes on a socket is handed over in order, with its time; deadlines hold."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from linewatch_agent.checks.arrivals import Arrivals, connect
from linewatch_agent.checks.clocks import SYSTEM_CLOCK
from linewatch_agent.checks.slack import Slack


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end, which does not block, and the peer's."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_what_came_is_handed_over_and_then_the_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """In order, each with a time that is not before it was sent; no bytes are the end."""
    ours, theirs = pair
    sent_ns = SYSTEM_CLOCK.monotonic_ns()
    with contextlib.closing(Arrivals(ours, SYSTEM_CLOCK)) as arrivals:
        theirs.send(b"one")
        at_ns, data = await arrivals.next()
        assert data == b"one"
        assert at_ns >= sent_ns
        theirs.close()
        assert (await arrivals.next())[1] == b""


async def test_an_error_of_the_socket_is_raised_once_asked_for() -> None:
    """A port that nobody listens on answers with ICMP, which is the next thing that comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        to = bound.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(to)
        sock.send(b"?")
        arrivals = Arrivals(sock, SYSTEM_CLOCK)
        with contextlib.closing(arrivals), pytest.raises(ConnectionRefusedError):
            await arrivals.next()


async def test_a_flood_does_not_put_off_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Whoever sends without end is heard until the deadline only."""
    ours, theirs = pair
    deadline_s = asyncio.get_running_loop().time() + 0.05
    arrivals = Arrivals(ours, SYSTEM_CLOCK)

    async def flooded() -> None:
        while True:
            theirs.send(b"more")
            await arrivals.next(deadline_s=deadline_s)

    with contextlib.closing(arrivals), pytest.raises(TimeoutError):
        await flooded()


async def test_unread_bytes_stay_with_the_kernel(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Beyond the bound nothing is taken until somebody reads."""
    ours, theirs = pair
    theirs.setblocking(False)
    with contextlib.closing(Arrivals(ours, SYSTEM_CLOCK, unread_bytes_max=1)) as arrivals:
        theirs.send(b"a")
        first = asyncio.create_task(arrivals.next())
        for _ in range(3):
            await asyncio.sleep(0)
        theirs.send(b"b")
        for _ in range(3):
            await asyncio.sleep(0)
        assert ours.recv(10, socket.MSG_PEEK) == b"b"
        assert (await first)[1] == b"a"
        assert (await arrivals.next())[1] == b"b"


async def test_slack_ends_a_wait_from_its_time_on(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Not before; and the wait's own deadline, which would be far later, is not needed."""
    ours, _ = pair
    loop, slack = asyncio.get_running_loop(), Slack()
    due_s = loop.time()
    with contextlib.closing(Arrivals(ours, SYSTEM_CLOCK)) as arrivals:
        waiting = asyncio.create_task(
            arrivals.next(deadline_s=due_s + 3600, slack=slack, due_s=due_s)
        )
        await asyncio.sleep(0)
        slack.ring(due_s - 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        slack.ring(due_s)
        with pytest.raises(TimeoutError):
            await waiting
    slack.ring(due_s)  # who ended is forgotten


async def test_a_refused_connection_is_an_error() -> None:
    """With the kernel's own number, which the failure names go by."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        to = bound.getsockname()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with sock, pytest.raises(ConnectionRefusedError):
            await connect(sock, to)
