"""One HTTP/1.1 request over a connection that we opened ourselves; h11 speaks HTTP.

h11 has no I/O of its own, so each step keeps its own time and its own failure, and
it costs a tenth of the memory of a whole client. The request names no software of
ours, keeps no cookie and follows nothing. Source: RFC 9110, RFC 9112.
"""

import asyncio
from collections.abc import Mapping

import h11
from yarl import URL

from linewatch_agent.checks.sockets import Clock

HEADERS = {
    "User-Agent": "Mozilla/5.0",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
"""Says nothing of the probe; `identity` keeps a page's hash the same everywhere."""


class Exchange(asyncio.Protocol):
    """One request and its answer; the protocol of the connection that carries them.

    Reading raises EOFError if the peer ended too early, h11.RemoteProtocolError for an
    answer that is no HTTP, and OSError for what the connection broke with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._unread_bytes = 0
        self._unread_bytes_max = 0
        self._ended = False
        self._lost: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.first_byte_ns: int | None = None

    async def get(self, url: URL, *, headers: Mapping[str, str], bytes_max: int) -> h11.Response:
        """Send the request and return the answer's head.

        Args:
            headers: sent besides the usual ones.
            bytes_max: more is not taken from the kernel unread.
        """
        assert self._transport is not None, "not connected"
        self._unread_bytes_max = bytes_max
        fields = {"Host": url.host_port_subcomponent or "", **HEADERS, **headers}
        target = url.raw_path_qs
        request = h11.Request(method="GET", target=target, headers=list(fields.items()))
        self._transport.write(self._http.send(request) + self._http.send(h11.EndOfMessage()))
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event

    async def part(self) -> bytes:
        """Return the next part of the body; empty at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def abort(self) -> None:
        """End the connection at once: a good-bye over TLS would wait for the peer's."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; see asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport; see asyncio.Protocol."""
        if self.first_byte_ns is None:
            self.first_byte_ns = self._clock.monotonic_ns()
        if self._ended:
            return
        self._http.receive_data(data)
        self._unread_bytes += len(data)
        if self._waiter is None and self._unread_bytes >= self._unread_bytes_max:
            assert self._transport is not None
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note the peer's end; see asyncio.Protocol."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note why the connection ended; see asyncio.Protocol."""
        self._lost = exc
        self._end()

    def _end(self) -> None:
        if not self._ended and self._lost is None:
            self._http.receive_data(b"")
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _event(self) -> h11.Event:
        """Return what comes next of the answer."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._ended:
                    raise EOFError("the peer ended before its answer did") from error
                raise
            if event is h11.NEED_DATA:
                await self._more()
            elif isinstance(event, h11.Event):
                return event
            else:
                raise EOFError("the peer says no more")

    async def _more(self) -> None:
        """Wait for more bytes, or for the end."""
        if self._lost is not None:
            raise self._lost
        assert self._transport is not None
        self._unread_bytes = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
