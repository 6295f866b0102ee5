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
from dataclasses import dataclass

import h11
from yarl import URL

from linewatch_agent.checks.http_client import Exchange
from linewatch_agent.checks.link import Link
from linewatch_agent.checks.sockets import SYSTEM_CLOCK, tcp_facts
from linewatch_core.errors import LinewatchError

Connect = Callable[[str, int], socket.socket]
"""Blocks: a name or an address, and a port, to a connected socket; raises OSError."""

PATIENCE_S = 120.0
"""For one part: 128 KiB on a line of 10 kbit/s."""
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,12})-([0-9]{1,12})/([0-9]{1,12}|\*)")


class FetchError(LinewatchError):
    """A part could not be had; another try may find that it can."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file, and where in it they begin."""

    start: int
    data: bytes


async def fetch_part(
    url: URL,
    connect: Connect,
    *,
    start: int,
    bytes_max: int,
    tls: Callable[[], ssl.SSLContext],
    on_bytes: Callable[[int], None],
) -> Part:
    """Return bytes of a file from `start` on, at most so many.

    A server that knows no ranges sends the file from its beginning: then `Part.start` is 0.

    Args:
        on_bytes: is told what went over the line, both ways.
    Raises:
        FetchError: nothing usable came.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            sock = await _connected(connect, url)
            with sock:
                sock.setblocking(False)
                family = 6 if sock.family is socket.AF_INET6 else 4
                link = Link(sock, SYSTEM_CLOCK)
                try:
                    if url.scheme == "https":
                        await link.shake_hands(tls(), url.raw_host)
                    return await _get(url, link, start=start, bytes_max=bytes_max)
                finally:
                    facts = tcp_facts(sock, family)
                    on_bytes(facts.bytes_out + facts.bytes_in)
                    link.close()
    except TimeoutError:
        raise FetchError(f"cannot fetch from {url.host}: no answer in {PATIENCE_S:g} s") from None
    except (OSError, EOFError, h11.ProtocolError) as error:
        raise FetchError(
            f"cannot fetch from {url.host}: {error or type(error).__name__}"
        ) from error


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


async def _get(url: URL, link: Link, *, start: int, bytes_max: int) -> Part:
    wanted = {"Range": f"bytes={start}-{start + bytes_max - 1}"}
    exchange = Exchange(link)
    response = await exchange.get(url, headers=wanted, bytes_max=bytes_max)
    begin = _begin(response, url, start)
    data = bytearray()
    while len(data) < bytes_max and (part := await exchange.part()):
        data += part
    return Part(begin, bytes(data[:bytes_max]))


def _begin(response: h11.Response, url: URL, start: int) -> int:
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        said = next((v for name, v in response.headers if name == b"content-range"), b"")
        found = _CONTENT_RANGE.fullmatch(said)
        if found and int(found[1]) == start:
            return start
        raise FetchError(f"cannot fetch from {url.host}: it sent another part than was asked for")
    raise FetchError(f"cannot fetch {url.path} from {url.host}: HTTP {response.status_code}")
