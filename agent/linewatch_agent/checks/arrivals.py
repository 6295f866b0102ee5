"""Waiting on a check's socket, with as few turns of the event loop as it takes.

asyncio's own `sock_recv` registers and unregisters the socket for every read, and its
transports cost more than the check that they would carry (docs/measurements.md). Here a
socket is registered once and read at once when something came, with the time; of
datagrams that is the kernel's, whatever the loop was busy with. The invariant: whoever
makes an Arrivals closes it before the socket.
"""

import asyncio
import errno
import os
import socket
from collections import deque
from typing import Any

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.slack import Slack
from linewatch_agent.checks.stamps import STAMP_BYTES, arrived_ns

READ_BYTES = 65_536


async def connect(sock: socket.socket, to: tuple[Any, ...]) -> None:
    """Connect a non-blocking TCP socket to the kernel's form of an address.

    Raises:
        OSError: what the kernel says of it.
    """
    number = sock.connect_ex(to)
    if number == errno.EINPROGRESS:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        loop.add_writer(sock, _wake, waiter)
        try:
            await waiter
        finally:
            loop.remove_writer(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


class Arrivals:
    """What comes on one connected socket: datagrams, or parts of a stream."""

    def __init__(
        self,
        sock: socket.socket,
        clock: Clock,
        *,
        unread_bytes_max: int = READ_BYTES,
        stamped_since_ns: int | None = None,
    ) -> None:
        """Take over reading `sock`.

        Args:
            unread_bytes_max: about what is taken before it is asked for; whoever does not
                read leaves the rest to the kernel, and so to the peer's window.
            stamped_since_ns: the socket is one of `stamp_arrivals`, and nothing came before
                this monotonic time.
        """
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._clock = clock
        self.unread_bytes_max = unread_bytes_max
        self._stamped_since_ns = stamped_since_ns
        self._came: deque[tuple[int, bytes]] = deque()
        self._unread_bytes = 0
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False

    async def next(
        self,
        *,
        deadline_s: float | None = None,
        slack: Slack | None = None,
        due_s: float = 0.0,
    ) -> tuple[int, bytes]:
        """Return when something came (of the monotonic clock, ns), and what.

        No bytes are the end of a stream, or an empty datagram.

        Args:
            deadline_s: the loop's time at which to give up.
            slack: may do so before, from `due_s` on.
        Raises:
            OSError: what the kernel says of the socket; TimeoutError at the deadline.
        """
        while not self._came:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            await self._more(deadline_s, slack, due_s)
        at_ns, data = self._came.popleft()
        self._unread_bytes -= len(data)
        return at_ns, data

    def close(self) -> None:
        """Stop reading; the socket stays open."""
        if self._reading:
            self._loop.remove_reader(self._sock)
            self._reading = False

    async def _more(self, deadline_s: float | None, slack: Slack | None, due_s: float) -> None:
        # Whoever floods us must not keep the timer below from being heard.
        if deadline_s is not None and self._loop.time() >= deadline_s:
            raise TimeoutError
        if not self._reading:
            self._loop.add_reader(self._sock, self._on_readable)
            self._reading = True
        self._waiter = waiter = self._loop.create_future()
        timer = (
            None if deadline_s is None else self._loop.call_at(deadline_s, _expire, waiter, slack)
        )
        if slack is not None:
            slack.add(waiter, due_s)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
            if slack is not None:
                slack.discard(waiter)

    def _on_readable(self) -> None:
        try:
            at_ns, data = self._read()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._error = error
            self.close()
        else:
            self._came.append((at_ns, data))
            self._unread_bytes += len(data)
            if not data or self._unread_bytes >= self.unread_bytes_max:
                self.close()
        if self._waiter is not None:
            _wake(self._waiter)

    def _read(self) -> tuple[int, bytes]:
        """Return when something came (monotonic ns), and what."""
        since_ns = self._stamped_since_ns
        if since_ns is None:
            data = self._sock.recv(READ_BYTES)
            return self._clock.monotonic_ns(), data
        data, ancillary, _, _ = self._sock.recvmsg(READ_BYTES, STAMP_BYTES)
        return arrived_ns(ancillary, since_ns=since_ns, clock=self._clock), data


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _expire(waiter: "asyncio.Future[None]", slack: Slack | None) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
    if slack is not None:
        # The loop is awake: whoever else may end now need not wake it again.
        slack.ring(asyncio.get_running_loop().time())
