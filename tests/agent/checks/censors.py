"""What a censor does to a connection, as handlers: it reads the name, then decides."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from tests.agent.checks.servers import Handler, stream_server

HELLO_BYTES_MAX = 16_384


class Deed(StrEnum):
    """What happens to a connection for a forbidden name."""

    PASS = "pass"
    RESET = "reset"
    DROP = "drop"
    CLOSE = "close"
    SLOW = "slow"
    PAGE = "page"
    REDIRECT = "redirect"


PAGE = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nblocked"
REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLocation: http://warning.example.net/blocked\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def sni_of(hello: bytes) -> str | None:
    """Return the name in a ClientHello, as a censor's box finds it."""
    try:
        at = 5 + 4 + 2 + 32
        at += 1 + hello[at]
        at += 2 + struct.unpack_from("!H", hello, at)[0]
        at += 1 + hello[at]
        end = at + 2 + struct.unpack_from("!H", hello, at)[0]
        at += 2
        while at < end:
            kind, size = struct.unpack_from("!HH", hello, at)
            if kind == 0:
                (length,) = struct.unpack_from("!H", hello, at + 7)
                return hello[at + 9 : at + 9 + length].decode()
            at += 4 + size
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return None


def host_of(request: bytes) -> str | None:
    """Return the name in the Host header of a request."""
    for line in request.split(b"\r\n"):
        if line.lower().startswith(b"host:"):
            return line[5:].strip().decode().partition(":")[0]
    return None


@asynccontextmanager
async def censored(
    origin: Handler,
    decide: Callable[[str | None], Deed],
    *,
    context: ssl.SSLContext | None = None,
    delay_s: float = 0.0,
) -> AsyncIterator[tuple[int, list[str | None]]]:
    """Serve `origin` behind a censor; yield the port and the names that it saw, in order."""
    names: list[str | None] = []
    async with stream_server(origin, context=context) as inner:

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.read(HELLO_BYTES_MAX)
            name = sni_of(first) if context else host_of(first)
            names.append(name)
            match decide(name):
                case Deed.RESET:
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case Deed.DROP:
                    await asyncio.Event().wait()
                case Deed.CLOSE:
                    return
                case Deed.PAGE:
                    writer.write(PAGE)
                case Deed.REDIRECT:
                    writer.write(REDIRECT)
                case Deed.SLOW:
                    await asyncio.sleep(delay_s)
                    await _relay(first, reader, writer, inner)
                case Deed.PASS:
                    await _relay(first, reader, writer, inner)

        async with stream_server(handle) as port:
            yield port, names


async def _relay(
    first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    inner_writer.write(first)
    both = (_pump(reader, inner_writer), _pump(inner_reader, writer))
    tasks = [asyncio.create_task(each) for each in both]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        inner_writer.transport.abort()  # first: a second cancellation may end the rest
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
