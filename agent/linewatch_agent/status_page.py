"""The status on one page for the home's own network; only where the configuration turns it on.

Plain text that nothing can be sent to: one path, one method, no script, no cookie. It is
answered only under the very address that it was configured with, so that no web page that
somebody in the home reads can fetch it by a name of its own (DNS rebinding). Of what was
found blocked it says nothing: whoever is in the home's network can read it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import structlog

from linewatch_agent.status_words import in_words

log = structlog.get_logger()

VISITORS_MAX = 4
PATIENCE_S = 5.0
RETRY_S = 60.0
"""How often it is tried again while the address is not this machine's: a lease may come late."""
_READ_BYTES = 4096
_HEADERS = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
]


class StatusPage:
    """Answers at one address, for ever."""

    def __init__(self, where: str, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Prepare; `where` is ADDRESS:PORT, as the configuration has it."""
        self._where = where
        self._snapshot = snapshot
        self._visitors = asyncio.Semaphore(VISITORS_MAX)

    async def run(self) -> None:
        """Serve, for ever; where the address can't be had, try again later."""
        address, _, port = self._where.rpartition(":")
        told = False
        while True:
            try:
                server = await asyncio.start_server(
                    self._answer, address.strip("[]"), int(port), limit=_READ_BYTES
                )
            except OSError as error:
                if not told:
                    log.warning("status_page_not_served", reason=error.strerror, retry_s=RETRY_S)
                told = True
                await asyncio.sleep(RETRY_S)
                continue
            async with server:
                await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._visitors.locked():
            writer.transport.abort()
            return
        async with self._visitors:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._converse(reader, writer)
                    writer.close()
                    await writer.wait_closed()
            except (OSError, TimeoutError, h11.RemoteProtocolError):
                writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_READ_BYTES)
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        if not isinstance(event, h11.Request):
            return
        status, text = self._reply(event)
        body = f"{text}\n".encode()
        headers = [*_HEADERS, ("Content-Length", str(len(body)))]
        writer.write(http.send(h11.Response(status_code=status, headers=headers)) or b"")
        if event.method != b"HEAD":
            writer.write(http.send(h11.Data(data=body)) or b"")
        await writer.drain()

    def _reply(self, request: h11.Request) -> tuple[int, str]:
        hosts = [value for name, value in request.headers if name == b"host"]
        if hosts != [self._where.encode()]:
            return 421, "This page has another address."
        if request.method not in (b"GET", b"HEAD"):
            return 405, "This page can only be read."
        if request.target != b"/":
            return 404, "There is one page here: /"
        return 200, in_words(for_the_home(self._snapshot()))


def for_the_home(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status without what was found of single targets."""
    lines = [{**line, "target_verdicts": {}} for line in status["lines"]]
    return {**status, "lines": lines}
