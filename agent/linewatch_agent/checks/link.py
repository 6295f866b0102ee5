"""A TCP connection that we opened ourselves, plain or under TLS: bytes out, bytes in.

TLS is OpenSSL's over memory: no transport, no protocol object and no buffer of 256 KiB,
which asyncio makes for each connection. The end of the handshake goes out with the
first bytes after it. No good-bye is said, as it would wait for the peer's.
Source: RFC 8446; docs/measurements.md for what it saves.
"""

import asyncio
import socket
import ssl

from linewatch_agent.checks.arrivals import READ_BYTES, Arrivals
from linewatch_agent.checks.clocks import Clock


class Link:
    """A connected socket; close the link before the socket."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        """Take over a connected socket."""
        self._sock = sock
        self._arrivals = Arrivals(sock, clock)
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.arrived_ns = 0
        """When the bytes came that `read` returned last."""

    async def shake_hands(self, context: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
        """Put the connection under TLS and return its state.

        Args:
            name: whom the certificate must be of.
        Raises:
            OSError: the connection broke, or ssl.SSLError; ConnectionResetError without an
                errno if the peer ended it.
        """
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
                if self._incoming.eof:
                    raise ConnectionResetError from None
            else:
                self._tls = tls
                return tls

    async def send(self, data: bytes, *, unread_bytes_max: int) -> None:
        """Send bytes; from now on at most about `unread_bytes_max` are taken unread."""
        self._arrivals.unread_bytes_max = unread_bytes_max
        if self._tls is None:
            await asyncio.get_running_loop().sock_sendall(self._sock, data)
            return
        self._tls.write(data)
        await self._flush()

    async def read(self) -> bytes:
        """Return what came next; empty at the peer's end.

        Raises:
            OSError: the connection broke.
        """
        if self._tls is None:
            self.arrived_ns, data = await self._arrivals.next()
            return data
        while True:
            try:
                return self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def close(self) -> None:
        """Stop reading; the socket stays open."""
        self._arrivals.close()

    async def _feed(self) -> None:
        self.arrived_ns, data = await self._arrivals.next()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await asyncio.get_running_loop().sock_sendall(self._sock, self._outgoing.read())
