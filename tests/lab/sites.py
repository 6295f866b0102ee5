"""Every site of the country, and the operators' own hosts, in one asyncio process.

Sockets are made in the namespace of their site and served here; replies.py says
what with. Started by country.py with the marker of the namespaces and the
folder of the certificates.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import dns.exception

from tests.lab.censor import INTERCEPT_PORT, TARPIT_PORT
from tests.lab.certificates import Authority
from tests.lab.plan import OperatorPlan, Service, SitePlan, load_country
from tests.lab.replies import (
    Handler,
    answer,
    blocked_page,
    dns_stream,
    http,
    ntp_reply,
    page,
    portal_page,
    tarpit,
)
from tests.lab.tun import die_with_parent, go_first, in_netns


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(dns.exception.DNSException):  # no DNS query: no answer
            self._transport.sendto(self._reply(data), addr)


class Sites:
    """Opens everything that the plan says."""

    def __init__(self, marker: str, authority: Authority) -> None:
        self._marker = marker
        self._authority = authority
        self._zone = load_country().zone()

    async def open_site(self, site: SitePlan) -> None:
        """Serve a site's services."""
        ca = "national" if site.place == "domestic" else "world"
        tls = self._authority.server_context(ca, *site.names)
        where = (site.place, site.address)
        for service in site.services:
            match service:
                case Service.HTTP:
                    await self._tcp(*where, 80, http(page))
                case Service.HTTPS:
                    await self._tcp(*where, 443, http(page), tls=tls)
                case Service.DOH:
                    await self._tcp(*where, 443, http(page, self._zone), tls=tls)
                case Service.DOT:
                    await self._tcp(*where, 853, dns_stream(self._zone), tls=tls)
                case Service.DNS:
                    await self._dns(*where)
                case Service.NTP:
                    await self._udp(*where, 123, lambda data: ntp_reply(data, time.time()))

    async def open_operator(self, operator: OperatorPlan) -> None:
        """Serve an operator's resolver, portal, block page, interceptor and tarpit."""
        name, login = operator.name, f"login.{operator.name}.example"
        await self._dns(name, operator.resolver)
        portal = http(lambda host, path: portal_page(host, path, login=login))
        await self._tcp(name, operator.portal, 80, portal)
        await self._tcp(name, operator.block_page, 80, http(blocked_page))
        state = self._authority.server_context("state", login, any_name=True)
        await self._tcp(name, operator.portal, INTERCEPT_PORT, http(page), tls=state)
        await self._tcp(name, operator.portal, TARPIT_PORT, tarpit)

    async def _dns(self, place: str, address: str) -> None:
        await self._udp(place, address, 53, lambda data: answer(data, self._zone))
        await self._tcp(place, address, 53, dns_stream(self._zone))

    async def _tcp(
        self,
        place: str,
        address: str,
        port: int,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (OSError, EOFError, ValueError, LookupError, dns.exception.DNSException):
                pass  # a client that went, or made no sense
            finally:
                writer.close()

        with in_netns(f"{self._marker}-{place}"):
            listener = socket.create_server((address, port), backlog=512)
        await asyncio.start_server(handle, sock=listener, ssl=tls)

    async def _udp(
        self, place: str, address: str, port: int, reply: Callable[[bytes], bytes]
    ) -> None:
        with in_netns(f"{self._marker}-{place}"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind((address, port))
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: _Datagrams(reply), sock=sock)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Pass over what clients and censors do to connections; say what is our own fault."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


async def serve(marker: str, folder: str) -> None:
    """Open all sites, say `ready`, serve for ever."""
    asyncio.get_running_loop().set_exception_handler(_tell)
    sites = Sites(marker, Authority(folder))
    plan = load_country()
    for operator in plan.operator:
        await sites.open_operator(operator)
    for site in plan.site:
        await sites.open_site(site)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    die_with_parent()
    go_first()
    asyncio.run(serve(*json.loads(sys.argv[1])))
