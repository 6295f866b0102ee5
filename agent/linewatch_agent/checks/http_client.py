"""aiohttp over a connection that we opened ourselves.

aiohttp speaks HTTP; the connection's steps are ours, so that each has its own
time and its own failure. `_create_connection` is aiohttp's hook for connectors
(its own UnixConnector uses it too); tests/agent/checks/test_http.py pins it.
The request names no software of ours, keeps no cookie and follows nothing.
"""

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from linewatch_agent.checks.sockets import Clock

HEADERS = {
    "User-Agent": "Mozilla/5.0",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
"""Says nothing of the probe; `identity` keeps a page's hash the same everywhere."""


class TimedHandler(ResponseHandler):
    """aiohttp's protocol, with the moment of the response's first byte."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._clock = clock
        self.first_byte_ns: int | None = None
        self.lost: Exception = ConnectionResetError()
        """What ended the connection; without errno: the peer closed it in good order."""

    def close(self) -> None:
        """Abort: a good-bye over TLS would wait for the peer's, on a socket that we close."""
        self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note why the connection ended; see asyncio.Protocol."""
        if isinstance(exc, Exception):
            self.lost = exc
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport; see asyncio.Protocol."""
        if self.first_byte_ns is None:
            self.first_byte_ns = self._clock.monotonic_ns()
        super().data_received(data)


class OneConnection(aiohttp.BaseConnector):
    """A connector that hands out the one connection it was given."""

    def __init__(self, handler: TimedHandler) -> None:
        super().__init__(force_close=True, limit=0)
        self._handler = handler

    async def _create_connection(
        self,
        req: ClientRequest,  # noqa: ARG002 (the signature is aiohttp's)
        traces: list[Trace],  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109
    ) -> ResponseHandler:
        return self._handler


def session_over(handler: TimedHandler) -> aiohttp.ClientSession:
    """Return a session for one request over `handler`; time limits are the caller's."""
    return aiohttp.ClientSession(
        connector=OneConnection(handler),
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )
