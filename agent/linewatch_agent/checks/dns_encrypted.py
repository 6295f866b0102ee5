"""One DNS question where nobody on the way can read or change it: over TLS and over HTTPS.

Both go to an address given beforehand, over the line, with the certificate
verified: no resolver has to be asked first. Times include the handshakes.
Queries are padded, so that their length tells nothing of the name.
Source: RFC 7858 (TLS), RFC 8484 (HTTPS, with id 0 and GET), RFC 8467 (padding).
"""

import asyncio
import base64
import functools
import secrets
import socket
import ssl

from yarl import URL

from linewatch_agent.checks.arrivals import connect
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.dns_exchange import MESSAGE_BYTES_MAX, Heard, ask_stream
from linewatch_agent.checks.dns_packets import NotAReply, parse_reply
from linewatch_agent.checks.failures import DNS_MALFORMED_REPLY, EOF
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.link import Link
from linewatch_agent.checks.tls import tls_failure
from linewatch_agent.checks.wishes import Wishes
from linewatch_agent.dns_message import Query, make_query
from linewatch_agent.line_socket import AF, ip_version, line_socket, sockaddr
from linewatch_agent.tcp_facts import tcp_facts
from linewatch_core.details import HttpDetail
from linewatch_core.targets import Resolver

PAD_BYTES = 128
_MESSAGE = "application/dns-message"


@functools.cache
def shared_tls_context() -> ssl.SSLContext:
    """Return the process's context for DNS over TLS: it offers no HTTP, unlike the other one."""
    return ssl.create_default_context()


async def ask_tls(
    resolver: Resolver,
    name: str,
    family: int,
    *,
    device: str,
    context: ssl.SSLContext,
    timeout_s: float,
    clock: Clock,
) -> Heard:
    """Ask `resolver` over TLS for the addresses of `name` in `family`."""
    heard = Heard()
    query = make_query(name, family, id=secrets.randbelow(1 << 16), pad_bytes=PAD_BYTES)
    version = ip_version(resolver.address)
    started_ns = clock.monotonic_ns()
    with line_socket(device, AF[version], socket.SOCK_STREAM) as sock:
        link = Link(sock, clock)
        try:
            async with asyncio.timeout(timeout_s):
                await connect(sock, sockaddr(device, resolver.address, resolver.tls_port))
                await link.shake_hands(context, resolver.name or resolver.address)
                data = await ask_stream(link, query)
                _take(heard, query, data, (clock.monotonic_ns() - started_ns) / 1000)
        except OSError as error:
            heard.failure = tls_failure(error)
        except asyncio.IncompleteReadError:
            heard.failure = EOF
        finally:
            link.close()
            facts = tcp_facts(sock)
            heard.bytes_out, heard.bytes_in = facts.bytes_out, facts.bytes_in
    return heard


async def ask_https(
    resolver: Resolver,
    name: str,
    family: int,
    *,
    fetcher: Fetcher,
    timeout_s: float,
    clock: Clock,
) -> Heard:
    """Ask `resolver` over HTTPS for the addresses of `name` in `family`."""
    query = make_query(name, family, id=0, pad_bytes=PAD_BYTES)
    body = bytearray()
    started_ns = clock.monotonic_ns()
    outcome = await fetcher.fetch(
        _question_url(resolver, query),
        ip_version(resolver.address),
        host=resolver.address,
        timeout_s=timeout_s,
        wishes=Wishes(
            headers={"Accept": _MESSAGE},
            body_bytes_max=MESSAGE_BYTES_MAX,
            on_part=body.extend,
        ),
    )
    heard = Heard(outcome.failure, bytes_out=outcome.bytes_out, bytes_in=outcome.bytes_in)
    seen = outcome.detail
    if outcome.failure is None:
        if isinstance(seen, HttpDetail) and seen.status != 200:
            heard.failure = "http_request_failed"
            return heard
        _take(heard, query, bytes(body), (clock.monotonic_ns() - started_ns) / 1000)
    return heard


def _question_url(resolver: Resolver, query: Query) -> URL:
    host = resolver.name or resolver.address
    bracketed = f"[{host}]" if ":" in host else host
    question = base64.urlsafe_b64encode(query.wire).rstrip(b"=").decode()
    url = URL(f"https://{bracketed}:{resolver.https_port}{resolver.path}")
    return url.update_query(dns=question)


def _take(heard: Heard, query: Query, data: bytes, after_us: float) -> None:
    reply = parse_reply(query, data)
    if isinstance(reply, NotAReply):
        heard.failure = DNS_MALFORMED_REPLY
    else:
        heard.first, heard.first_us, heard.failure = reply, after_us, reply.failure
