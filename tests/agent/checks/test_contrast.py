"""The contrast check: a lying resolver beside one that cannot be lied for."""

import asyncio
import base64
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dns.message
import dns.rcode
import pytest

from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.tls import line_context
from linewatch_core.details import Answer, ContrastDetail
from linewatch_core.records import Check
from linewatch_core.targets import Resolver
from tests.agent.checks.lab import line_checks, loopback, run_once, target
from tests.agent.checks.servers import (
    Script,
    answer,
    dns_over_tcp,
    dns_server,
    hang_up,
    issue,
    silent,
    stream_server,
    tarpit,
)

NAME = "banned.example.org"
RESOLVER_NAME = "dns.example.net"
OTHER = "127.0.0.4"
TRUE, FORGED = "192.0.2.7", "10.10.34.34"


def honest(query: dns.message.Message) -> list[tuple[float, bytes]]:
    """Answer with the true address."""
    return [(0, answer(query, TRUE))]


def forged(query: dns.message.Message) -> list[tuple[float, bytes]]:
    """Answer as a forger on the way does: first the lie, and the truth after it."""
    return [(0, answer(query, FORGED)), (0.02, answer(query, TRUE))]


@dataclass
class World:
    """The ports of the line's own resolver and the other's three, and what was asked."""

    ports: dict[str, int] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    client: ssl.SSLContext | None = None

    def resolver(self, **changes: Any) -> Resolver:
        """Return the other resolver as a target names it."""
        ports = {key: self.ports[key] for key in ("port", "tls_port", "https_port")}
        return Resolver(**{"address": OTHER, "name": RESOLVER_NAME, **ports, **changes})

    async def asked(self, family: int = 4, timeout_s: float = 5.0, **changes: Any) -> Outcome:
        """Return the outcome of a contrast check of NAME."""
        return await run_once(
            Check.CONTRAST,
            NAME,
            family,
            resolver=self.resolver(**changes),
            dns_port=self.ports["own"],
            context=self.client,
            timeout_s=timeout_s,
        )


@asynccontextmanager
async def world(
    tmp_path: Path,
    own: Script,
    *,
    plain: Script = honest,
    tls: Any = None,
    status: str = "200 OK",
) -> AsyncIterator[World]:
    """Serve the line's own resolver and another one over UDP, TLS and HTTPS."""
    made = World()
    authority = issue("Test Authority")
    identity = issue(RESOLVER_NAME, issuer=authority, address=OTHER)
    server = identity.server_context(tmp_path, authority)
    made.client = line_context(ssl.create_default_context(cadata=authority.der))

    async def https(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        made.lines.append(request)
        path = request.split(b" ")[1].decode()
        question = parse_qs(urlsplit(path).query)["dns"][0]
        wire = base64.urlsafe_b64decode(question + "=" * (-len(question) % 4))
        body = answer(dns.message.from_wire(wire), TRUE)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async with (
        dns_server(own) as (made.ports["own"], _),
        dns_server(plain, host=OTHER) as (made.ports["port"], _),
        stream_server(tls or dns_over_tcp(TRUE), host=OTHER, context=server) as tls_port,
        stream_server(https, host=OTHER, context=server) as https_port,
    ):
        made.ports |= {"tls_port": tls_port, "https_port": https_port}
        yield made


def told(outcome: Outcome) -> list[tuple[str | None, tuple[str, ...]]]:
    """Return failure and addresses of the four ways: own, plain, tls, https."""
    detail = outcome.detail
    assert isinstance(detail, ContrastDetail)
    ways = (detail.own, detail.plain, detail.tls, detail.https)
    assert all(way.time_us is not None for way in ways if way.addresses)
    return [(way.failure, way.addresses) for way in ways]


async def test_an_honest_line_says_the_same_on_all_ways(tmp_path: Path) -> None:
    """Four equal answers, each with its time; the padded question is not in the clear."""
    async with world(tmp_path, honest) as made:
        outcome = await made.asked()
    assert told(outcome) == [(None, (TRUE,))] * 4
    assert (outcome.failure, outcome.address, outcome.family) == (None, None, 4)
    assert outcome.rtt_us is not None
    assert outcome.bytes_out > 1000
    assert outcome.bytes_in > 1000
    (request,) = made.lines
    assert request.startswith(b"GET /dns-query?dns=")
    assert f"host: {RESOLVER_NAME}".encode() in request.lower()
    assert b"accept: application/dns-message" in request.lower()


async def test_a_forged_answer_stands_beside_the_true_one(tmp_path: Path) -> None:
    """Both plain ways are forged on the way, the encrypted ones are not."""
    async with world(tmp_path, forged, plain=forged) as made:
        outcome = await made.asked()
    lie, truth = (None, (FORGED,)), (None, (TRUE,))
    assert told(outcome) == [lie, lie, truth, truth]


async def test_a_lying_resolver_is_told_from_a_forger(tmp_path: Path) -> None:
    """Only the line's own resolver denies the name: the other plain one does not."""
    async with world(tmp_path, lambda q: [(0, answer(q, rcode=dns.rcode.NXDOMAIN))]) as made:
        outcome = await made.asked()
    assert outcome.failure == "dns_nxdomain_error"
    assert told(outcome) == [("dns_nxdomain_error", ()), *[(None, (TRUE,))] * 3]


async def test_blocked_encrypted_ways_have_failures_of_their_own(tmp_path: Path) -> None:
    """TLS to port 853 held up, HTTPS refused: the plain ways still answer."""
    async with world(tmp_path, honest, tls=tarpit, status="403 Forbidden") as made:
        outcome = await made.asked(timeout_s=2.0)
    assert outcome.failure is None
    assert told(outcome)[2:] == [("generic_timeout_error", ()), ("http_request_failed", ())]


async def test_a_peer_that_hangs_up_or_talks_rubbish_is_told(tmp_path: Path) -> None:
    """An end within the answer is eof_error, an answer to nothing is malformed."""

    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        await reader.readexactly(size)
        writer.write(b"\x00\x04\xff\xff\xff\xff")
        await writer.drain()

    async with world(tmp_path, honest, tls=hang_up) as made:
        assert told(await made.asked())[2] == ("eof_error", ())
    async with world(tmp_path, honest, tls=rubbish) as made:
        assert told(await made.asked())[2] == ("dns_malformed_reply", ())


async def test_a_certificate_of_another_name_is_not_believed(tmp_path: Path) -> None:
    """Whoever answers in the resolver's place cannot lie: both encrypted ways refuse."""
    async with world(tmp_path, honest) as made:
        outcome = await made.asked(name="dns.other.example")
    assert told(outcome)[2:] == [("ssl_invalid_hostname", ())] * 2
    assert made.lines == []


async def test_a_resolver_without_a_name_is_known_by_its_address(tmp_path: Path) -> None:
    """The certificate must then name the address."""
    async with world(tmp_path, honest) as made:
        outcome = await made.asked(name=None)
    assert told(outcome) == [(None, (TRUE,))] * 4


async def test_ways_that_the_line_does_not_have_say_so(tmp_path: Path) -> None:
    """No resolver of its own; no address of the other's family."""
    async with world(tmp_path, honest) as made:
        lonely = loopback(resolvers=(), families=(6,))
        outcome = await run_once(
            Check.CONTRAST, NAME, line=lonely, resolver=made.resolver(), context=made.client
        )
    assert outcome.failure == "no_resolver"
    assert told(outcome) == [("no_resolver", ()), *[("address_not_available", ())] * 3]


async def test_the_gateways_address_is_not_recorded(tmp_path: Path) -> None:
    """A router that answers with itself must not put the host's network on record."""
    line = loopback(gateways={4: "192.168.7.1"})
    async with world(tmp_path, lambda q: [(0, answer(q, "192.168.7.1"))]) as made:
        outcome = await run_once(
            Check.CONTRAST,
            NAME,
            line=line,
            resolver=made.resolver(),
            dns_port=made.ports["own"],
            context=made.client,
        )
    assert isinstance(outcome.detail, ContrastDetail)
    assert outcome.detail.own == Answer(None, ("@gateway",), outcome.rtt_us)


async def test_a_cancelled_contrast_leaves_nothing_open(tmp_path: Path) -> None:
    """Cancellation passes through while all four ways wait."""
    arrived = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with (
        world(tmp_path, silent, plain=silent, tls=hold) as made,
        line_checks(context=made.client, dns_port=made.ports["own"]) as checks,
    ):
        asked = target(NAME, Check.CONTRAST, resolver=made.resolver())
        running = asyncio.create_task(checks.run(Check.CONTRAST, asked, 4, timeout_s=60))
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
