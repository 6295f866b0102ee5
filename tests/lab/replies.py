"""What sites answer: pages, DNS, time; and the handlers that read the questions.

No socket is opened here (sites.py does): bytes in, bytes out, and handlers for
asyncio's streams. Pages are made of the name asked for, so that a page tells
whose it is.
"""

import asyncio
import base64
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import dns.message
import dns.rcode
import dns.rrset

from tests.lab.forge import BLOCK_PAGE_BODY
from tests.lab.plan import PORTAL_CHECK_PATH

NTP_EPOCH_S = 2_208_988_800
"""From 1900 to 1970 (RFC 5905)."""
PAGE_BYTES = 2_000
BYTES_MAX = 4_000_000
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reply = tuple[str, str, bytes]
"""Status, further header lines, body."""


def answer(query_wire: bytes, zone: dict[str, str]) -> bytes:
    """Return the reply to a DNS query: A from the zone, NXDOMAIN for what is not in it."""
    query = dns.message.from_wire(query_wire)
    reply = dns.message.make_response(query)
    question = query.question[0]
    address = zone.get(str(question.name).rstrip(".").lower())
    if address is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == 1:
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", address))
    return reply.to_wire()


def ntp_reply(request: bytes, now_s: float) -> bytes:
    """Return a stratum 2 server's answer (RFC 5905)."""
    stamp = struct.pack("!Q", round((now_s + NTP_EPOCH_S) * 2**32))
    head = struct.pack("!BBbbII4s", 0x24, 2, 6, -20, 0, 0, b"LAB\0")
    return head + stamp + request[40:48] + stamp + stamp


def page(host: str, path: str) -> Reply:
    """Return an ordinary site's reply: a page, `/bytes/N`, or a portal check's 204."""
    if path == PORTAL_CHECK_PATH:
        return "204 No Content", "", b""
    body = f"<html><title>{host}</title>".encode().ljust(PAGE_BYTES, b".")
    size = path.removeprefix("/bytes/")
    if size.isdecimal():
        body = body.ljust(int(size), b".")[: min(int(size), BYTES_MAX)]
    return "200 OK", "", body


def portal_page(host: str, path: str, *, login: str) -> Reply:
    """Return a captive portal's reply: everything leads to the page where one pays."""
    if host == login:
        return "200 OK", "", b"<html><title>Your balance is used up</title>"
    return "302 Found", f"Location: http://{login}/\r\n", b""


def blocked_page(host: str, path: str) -> Reply:
    """Return what a forged answer's host shows for every name."""
    return "200 OK", "", BLOCK_PAGE_BODY


def http(make: Callable[[str, str], Reply], zone: dict[str, str] | None = None) -> Handler:
    """Return a handler of one HTTP/1.1 request; with a zone it answers DoH too (RFC 8484)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        lines = (line.partition(":") for line in head[1:] if line)
        fields = {key.lower(): value.strip() for key, _, value in lines}
        if zone is not None and path.startswith("/dns-query"):
            query = await reader.readexactly(int(fields.get("content-length", "0")))
            if not query:
                text = parse_qs(urlsplit(path).query)["dns"][0]
                query = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            more = "Content-Type: application/dns-message\r\n"
            status, body = "200 OK", answer(query, zone)
        else:
            status, more, body = make(fields.get("host", "").split(":")[0], path)
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{more}{length}\r\n".encode() + body)
        await writer.drain()

    return handle


def dns_stream(zone: dict[str, str]) -> Handler:
    """Return a handler of one DNS question over TCP or TLS (RFC 7858)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        wire = answer(await reader.readexactly(size), zone)
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()

    return handle


async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read for ever, and never say a word."""
    while await reader.read(4096):
        pass
