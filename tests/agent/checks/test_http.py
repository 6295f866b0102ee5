"""The http check on loopback: phases, pages, certificates, and servers that misbehave."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.tls import line_context
from linewatch_core.details import HttpDetail
from linewatch_core.records import HTTP_TIMINGS, Check
from tests.agent.checks.lab import TIMEOUT_S, line_checks, loopback, run_once, target
from tests.agent.checks.servers import (
    Handler,
    Identity,
    answer,
    dns_server,
    hang_up,
    http_reply,
    issue,
    raw_reply,
    reset,
    stream_server,
    tarpit,
)

NAME = "www.example.org"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def digest(data: bytes) -> str:
    """Return the digest that records hold."""
    return hashlib.sha256(data).hexdigest()[:16]


def trusting(authority: Identity) -> ssl.SSLContext:
    """Return a client's context that trusts one authority."""
    context = ssl.create_default_context(cadata=authority.der)
    return line_context(context)


async def fetched(handler: Handler, path: str = "/", **changes: Any) -> Outcome:
    """Return the outcome of fetching plain http from a handler."""
    async with stream_server(handler) as port:
        url = f"http://127.0.0.1:{port}{path}"
        return await run_once(Check.HTTP, "127.0.0.1", url=url, **changes)


async def fetched_tls(
    server: ssl.SSLContext, client: ssl.SSLContext, *, name: str = NAME, **changes: Any
) -> Outcome:
    """Return the outcome of fetching https://`name` through the line's own DNS."""
    async with (
        stream_server(http_reply(b"secret"), context=server) as port,
        dns_server(lambda q: [(0, answer(q, "127.0.0.1"))]) as (dns_port, _),
    ):
        url = f"https://{name}:{port}/"
        return await run_once(
            Check.HTTP, name, url=url, context=client, dns_port=dns_port, **changes
        )


async def test_a_page_is_timed_and_hashed() -> None:
    """Plain http has all five phases (no name, no TLS: 0), a status and the body's hash."""
    outcome = await fetched(http_reply(b"hello"))
    assert outcome.detail == HttpDetail(200, 5, digest(b"hello"))
    assert (outcome.failure, outcome.family, outcome.address) == (None, 4, "127.0.0.1")
    phases = dict(zip(HTTP_TIMINGS, outcome.timings_us, strict=True))
    assert (phases["dns"], phases["tls"]) == (0, 0)
    assert outcome.rtt_us == phases["first_byte"] > 0
    assert outcome.bytes_out > 300
    assert outcome.bytes_in > 200


async def test_a_slow_server_shows_in_its_own_phase() -> None:
    """A late first byte is in `first_byte`, a late rest in `body`."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(HEAD + b"01234")
        await asyncio.sleep(0.4)
        writer.write(b"56789")

    outcome = await fetched(slow)
    phases = dict(zip(HTTP_TIMINGS, outcome.timings_us, strict=True))
    assert phases["first_byte"] >= 50_000
    # The first byte may have been read late.
    assert phases["body"] >= 200_000


async def test_the_body_is_read_up_to_its_limit() -> None:
    """A huge page costs its limit, and the hash is of what was read."""
    outcome = await fetched(http_reply(b"x" * 1_000_000), body_bytes_max=1000)
    assert outcome.detail == HttpDetail(200, 1000, digest(b"x" * 1000))
    assert outcome.failure is None


async def test_a_compressed_body_is_hashed_as_sent() -> None:
    """Nothing is unpacked: no bomb, and the same hash everywhere."""
    page = http_reply(b"not really gzip", headers="Content-Encoding: gzip\r\n")
    outcome = await fetched(page)
    assert outcome.detail == HttpDetail(200, 15, digest(b"not really gzip"))


async def test_a_redirect_is_recorded_and_not_followed() -> None:
    """Host and path are kept; the query and what could identify someone are not."""
    where = "http://portal.example.net/login/aa-bb-cc-dd-ee-ff/index.html?mac=aabbcc"
    outcome = await fetched(http_reply(b"", status="302 Found", headers=f"Location: {where}\r\n"))
    assert isinstance(outcome.detail, HttpDetail)
    assert outcome.detail.status == 302
    assert outcome.detail.location == "portal.example.net/login/*/index.html"


async def test_a_redirect_to_the_gateway_does_not_tell_its_address() -> None:
    """The modem's own portal is known as the gateway, wherever it is."""
    page = http_reply(b"", status="302 Found", headers="Location: http://192.168.8.1/topup\r\n")
    outcome = await fetched(page, line=loopback(gateways={4: "192.168.8.1"}))
    assert isinstance(outcome.detail, HttpDetail)
    assert outcome.detail.location == "@gateway/topup"


async def test_the_gateways_page_is_not_recorded() -> None:
    """Its hash would tell the make of the host's router; only the times are kept."""
    async with stream_server(http_reply(b"router")) as port:
        outcome = await run_once(
            Check.HTTP,
            "@gateway",
            line=loopback(gateways={4: "127.0.0.1"}),
            url=f"http://router.invalid:{port}/",
        )
    assert (outcome.failure, outcome.address, outcome.detail) == (None, None, None)
    assert len(outcome.timings_us) == 5


async def test_the_request_names_no_software_of_ours() -> None:
    """Whoever watches the line sees a plain request."""
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"0123456789")

    await fetched(note, "/some?thing=1")
    request = seen[0].decode().lower()
    assert request.startswith("get /some?thing=1 http/1.1\r\n")
    assert "user-agent: mozilla/5.0\r\n" in request
    assert not any(word in request for word in ("linewatch", "aiohttp", "python", "probe"))


@pytest.mark.parametrize(
    ("handler", "failure", "phases"),
    [
        (hang_up, "eof_error", 3),
        (reset, "connection_reset", 3),
        (raw_reply(b"SSH-2.0-OpenSSH\r\n\r\n"), "http_malformed_reply", 3),
        (raw_reply(b"\x00\xff" * 50), "http_malformed_reply", 3),
        (raw_reply(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000), "http_malformed_reply", 3),
        (raw_reply(HEAD + b"half"), "eof_error", 4),
    ],
)
async def test_a_broken_reply_has_its_failure(handler: Handler, failure: str, phases: int) -> None:
    """What a server breaks, and after which phase, is in the outcome."""
    outcome = await fetched(handler)
    assert outcome.failure == failure
    assert len(outcome.timings_us) == phases


@pytest.mark.parametrize("handler", [tarpit, raw_reply(b"HTTP/1.1 200 OK\r\n", stall=True)])
async def test_a_server_that_stalls_is_a_timeout(handler: Handler) -> None:
    """No response in time is generic_timeout_error after the tcp phase."""
    outcome = await fetched(handler, timeout_s=1.0)
    assert (outcome.failure, outcome.detail) == ("generic_timeout_error", None)
    assert len(outcome.timings_us) == 3


async def test_a_body_that_stalls_keeps_what_came() -> None:
    """A page cut off by throttling is a timeout with the status and the part that came."""
    outcome = await fetched(raw_reply(HEAD + b"half", stall=True), timeout_s=1.0)
    assert outcome.failure == "generic_timeout_error"
    assert outcome.detail == HttpDetail(200, 4, digest(b"half"))
    assert len(outcome.timings_us) == 4
    assert outcome.rtt_us is not None


async def test_a_certificate_chain_is_verified_and_hashed(tmp_path: Path) -> None:
    """The digest is over the DER certificates as presented, leaf first."""
    authority = issue("Test Authority")
    leaf = issue(NAME, issuer=authority)
    outcome = await fetched_tls(leaf.server_context(tmp_path, authority), trusting(authority))
    assert outcome.failure is None
    assert outcome.detail == HttpDetail(
        200,
        6,
        digest(b"secret"),
        chain_sha256=digest(leaf.der + authority.der),
        issuer_sha256=digest(authority.certificate.issuer.public_bytes()),
    )
    assert outcome.address == "127.0.0.1"
    assert all(phase > 0 for phase in outcome.timings_us)


async def test_a_renewed_chain_claims_the_same_authority(tmp_path: Path) -> None:
    """Leaf and chain digest change with a renewal; who the last certificate's issuer is doesn't."""
    authority = issue("Test Authority")
    chains = []
    for _ in range(2):
        leaf = issue(NAME, issuer=authority)
        outcome = await fetched_tls(leaf.server_context(tmp_path), trusting(authority))
        assert isinstance(outcome.detail, HttpDetail)
        chains.append((outcome.detail.chain_sha256, outcome.detail.issuer_sha256))
    assert chains[0][0] != chains[1][0]
    assert chains[0][1] == chains[1][1] == digest(authority.certificate.subject.public_bytes())


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("case", "failure"),
    [
        ("self-signed", "ssl_unknown_authority"),
        ("unknown issuer", "ssl_unknown_authority"),
        ("other name", "ssl_invalid_hostname"),
        ("expired", "ssl_invalid_certificate"),
        ("not yet valid", "ssl_invalid_certificate"),
    ],
)
async def test_a_refused_chain_is_hashed_all_the_same(
    tmp_path: Path, case: str, failure: str, newest: ssl.TLSVersion
) -> None:
    """An intercepting box is named by its failure and known by its chain; no page is read."""
    authority, stranger = issue("Test Authority"), issue("Stranger")
    leaf = {
        "self-signed": lambda: issue(NAME),
        "unknown issuer": lambda: issue(NAME, issuer=stranger),
        "other name": lambda: issue("other.example.org", issuer=authority),
        "expired": lambda: issue(NAME, issuer=authority, days=(-3, -1)),
        "not yet valid": lambda: issue(NAME, issuer=authority, days=(1, 3)),
    }[case]()
    client = trusting(authority)
    client.maximum_version = newest
    outcome = await fetched_tls(leaf.server_context(tmp_path), client)
    assert outcome.failure == failure
    issuer = digest(leaf.certificate.issuer.public_bytes())
    assert outcome.detail == HttpDetail(
        0, 0, "", chain_sha256=digest(leaf.der), issuer_sha256=issuer
    )
    assert len(outcome.timings_us) == 2


async def test_no_request_is_sent_on_a_refused_chain(tmp_path: Path) -> None:
    """A box that we don't trust learns no path and no Host header, on its only connection."""
    heard: list[bytes] = []
    connections = 0

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        heard.append(await reader.read(4096))

    context = issue("127.0.0.1", address="127.0.0.1").server_context(tmp_path)
    async with stream_server(listen, context=context) as port:
        url = f"https://127.0.0.1:{port}/secret"
        outcome = await run_once(
            Check.HTTP, "127.0.0.1", url=url, context=trusting(issue("Another"))
        )
    assert outcome.failure == "ssl_unknown_authority"
    assert connections <= 1
    assert b"".join(heard) == b""


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (hang_up, "eof_error"),
        (reset, "connection_reset"),
        (tarpit, "generic_timeout_error"),
    ],
)
async def test_a_client_hello_that_is_cut_off_has_its_failure(
    handler: Handler, failure: str
) -> None:
    """What filters do to a server name: close, reset, or swallow; the tcp phase was fine."""
    async with stream_server(handler) as port:
        outcome = await run_once(
            Check.HTTP,
            "127.0.0.1",
            url=f"https://{NAME}:{port}/",
            context=trusting(issue("Any")),
            timeout_s=1.0,
        )
    assert (outcome.failure, outcome.detail) == (failure, None)
    assert (len(outcome.timings_us), outcome.address) == (2, "127.0.0.1")


async def test_plain_text_on_the_tls_port_is_a_failed_handshake() -> None:
    """A block page over http on port 443 is ssl_failed_handshake."""

    async def block_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(HEAD + b"0123456789")
        await writer.drain()
        await reader.read()

    async with stream_server(block_page) as port:
        url = f"https://127.0.0.1:{port}/"
        outcome = await run_once(Check.HTTP, "127.0.0.1", url=url, context=trusting(issue("Any")))
    assert outcome.failure == "ssl_failed_handshake"


async def test_a_target_with_an_address_and_another_name_sends_that_name(tmp_path: Path) -> None:
    """`host` says where to, the URL says which name: how one address is asked for two names."""
    names: list[str | None] = []
    authority = issue("Test Authority")
    server = issue(NAME, issuer=authority).server_context(tmp_path)
    server.sni_callback = lambda _tls, name, _context: names.append(name)
    async with stream_server(http_reply(b""), context=server) as port:
        outcome = await run_once(
            Check.HTTP, "127.0.0.1", url=f"https://{NAME}:{port}/", context=trusting(authority)
        )
    assert (outcome.failure, names) == (None, [NAME])


async def test_ipv6_is_fetched_from_a_literal() -> None:
    """A bracketed literal in the URL works over IPv6."""
    async with stream_server(http_reply(b"six"), host="::1") as port:
        outcome = await run_once(Check.HTTP, "::1", 6, url=f"http://[::1]:{port}/")
    assert (outcome.failure, outcome.family, outcome.address) == (None, 6, "::1")


async def test_a_gateway_without_url_is_the_callers_bug() -> None:
    """@gateway is no name to fetch by default."""
    with pytest.raises(ValueError, match="set `url`"):
        await run_once(Check.HTTP, "@gateway", line=loopback(gateways={4: "127.0.0.1"}))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_cancelled_check_closes_everything(scheme: str) -> None:
    """Cancelled while TLS or the response is awaited, nothing stays open."""
    reached = asyncio.Event()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reached.set()
        assert await reader.read() != b""

    async with (
        stream_server(stuck) as port,
        line_checks(context=trusting(issue("Any"))) as checks,
    ):
        url = f"{scheme}://127.0.0.1:{port}/"
        running = asyncio.create_task(
            checks.run(Check.HTTP, target("127.0.0.1", Check.HTTP, url=url), 4, timeout_s=TIMEOUT_S)
        )
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
