"""Part of a file over HTTP, on a socket bound to a line.

Answers are taken as they come and believed in nothing: what is fetched is checked by
hash and signature. Redirects are not followed. Source: RFC 9110, "Range Requests".
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable

import h11
from yarl import URL

from linewatch_agent.checks.clocks import SYSTEM_CLOCK
from linewatch_agent.checks.http_client import Exchange
from linewatch_agent.checks.link import Link
from linewatch_agent.tcp_facts import tcp_facts
from linewatch_core.errors import LinewatchError

Connect = Callable[[str, int], socket.socket]
"""Blocks: a name or an address, and a port, to a connected socket; raises OSError."""

PATIENCE_S = 120.0
"""For one part: 128 KiB on a line of 10 kbit/s."""
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,12})-([0-9]{1,12})/([0-9]{1,12}|\*)")


class FetchError(LinewatchError):
    """A part could not be had; another try may find that it can."""


async def fetch_part(
    url: URL,
    connect: Connect,
    *,
    start: int,
    bytes_max: int,
    tls: Callable[[], ssl.SSLContext],
    on_bytes: Callable[[int], None],
) -> bytes:
    """Return bytes of a file from `start` on, at most so many.

    Fewer come where the line breaks off: what came is kept. A server that knows no ranges
    is of use only for what is had in one part.

    Args:
        on_bytes: is told what went over the line, both ways.
    Raises:
        FetchError: nothing usable came.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            sock = await _connected(connect, url)
            with sock:
                sock.setblocking(False)
                link = Link(sock, SYSTEM_CLOCK)
                try:
                    if url.scheme == "https":
                        await link.shake_hands(tls(), url.raw_host)
                    await _get(url, link, data, start=start, bytes_max=bytes_max)
                finally:
                    facts = tcp_facts(sock)
                    on_bytes(facts.bytes_out + facts.bytes_in)
                    link.close()
    except (OSError, EOFError, h11.ProtocolError) as error:
        if not data:
            reason = str(error) or type(error).__name__
            raise FetchError(f"cannot fetch from {url.host}: {reason}") from error
    return bytes(data)


async def _connected(connect: Connect, url: URL) -> socket.socket:
    """Connect in a thread; who is cancelled leaves no socket open."""
    going = asyncio.ensure_future(asyncio.to_thread(connect, url.raw_host or "", url.port or 0))
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        going.add_done_callback(_close)
        raise


def _close(going: "asyncio.Future[socket.socket]") -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        going.result().close()


async def _get(url: URL, link: Link, data: bytearray, *, start: int, bytes_max: int) -> None:
    """Ask for a part and add what comes to `data`."""
    wanted = {"Range": f"bytes={start}-{start + bytes_max - 1}"}
    exchange = Exchange(link)
    response = await exchange.get(url, headers=wanted, bytes_max=bytes_max)
    _check(response, url, start)
    while len(data) < bytes_max and (part := await exchange.part()):
        data += part[: bytes_max - len(data)]


def _check(response: h11.Response, url: URL, start: int) -> None:
    if response.status_code == 200 and start == 0:
        return
    if response.status_code == 200:
        raise FetchError(f"cannot fetch from {url.host}: it sends no parts of files (HTTP Range)")
    if response.status_code != 206:
        raise FetchError(f"cannot fetch {url.path} from {url.host}: HTTP {response.status_code}")
    said = next((value for name, value in response.headers if name == b"content-range"), b"")
    found = _CONTENT_RANGE.fullmatch(said)
    if not found or int(found[1]) != start:
        raise FetchError(f"cannot fetch from {url.host}: it sent another part than was asked for")
