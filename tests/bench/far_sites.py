"""What the footprint bench measures: fifty sites and a name server, all in one process.

Each site answers pings, TCP, HTTP and HTTPS on an address of its own; the name server
knows their names. Runs inside the far namespace, until it is ended.
"""

import asyncio
import contextlib
import ssl
from pathlib import Path

import dns.message

from tests.agent.checks.servers import answer, dns_server, http_reply, issue

SITES = [f"198.51.100.{number}" for number in range(1, 51)]
RESOLVER = "198.51.100.253"
HTTP_PORT, HTTPS_PORT = 80, 443
PAGE = bytes(range(256)) * 16
"""4 KiB: a small page, so that what counts is the check and not the copying."""
_reply = http_reply(PAGE)


def name_of(number: int) -> str:
    """Return the name of a site, which the name server knows."""
    return f"site-{number}.example"


async def serve(folder: str) -> None:
    """Serve all of it, for ever; leaves the certificate to trust in `folder`."""
    authority = issue("bench authority")
    pem = ssl.DER_cert_to_PEM_cert(authority.der)
    (Path(folder) / "authority.pem").write_text(pem)
    for address in SITES:
        await asyncio.start_server(_page, address, HTTP_PORT)
        tls = issue("site.example", issuer=authority, address=address).server_context(Path(folder))
        await asyncio.start_server(_page, address, HTTPS_PORT, ssl=tls)
    async with dns_server(_names, host=RESOLVER, port=53):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request; the tcp check sends none."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        await _reply(reader, writer)
    writer.close()


def _names(query: dns.message.Message) -> list[tuple[float, bytes]]:
    number = query.question[0].name.to_text().partition("-")[2].partition(".")[0]
    return [(0.0, answer(query, SITES[int(number) - 1]))]
