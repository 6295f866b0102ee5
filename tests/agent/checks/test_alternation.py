"""The sni and host checks against what a censor does to one name and not to another."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from linewatch_agent.checks.alternation import attempt_of, same_domain
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.tls import line_context
from linewatch_core.details import AlternationDetail, Attempt, HttpDetail
from linewatch_core.records import Check, Role
from tests.agent.checks.censors import Deed, censored
from tests.agent.checks.lab import line_checks, run_once, target
from tests.agent.checks.servers import (
    Handler,
    answer,
    dns_server,
    full_backlog,
    http_reply,
    issue,
    stream_server,
)

SENSITIVE = "banned.example.org"
NEUTRAL = "plain.example.com"
Decide = Callable[[str | None], Deed]


def to_sensitive(deed: Deed) -> Decide:
    """Return a censor that does `deed` to the sensitive name and lets others pass."""
    return lambda name: deed if name == SENSITIVE else Deed.PASS


def tls_contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context for SENSITIVE's certificate, and a client's that trusts it."""
    authority = issue("Test Authority")
    leaf = issue(SENSITIVE, issuer=authority)
    client = line_context(ssl.create_default_context(cadata=authority.der))
    return leaf.server_context(tmp_path, authority), client


async def alternated(
    check: Check,
    decide: Decide,
    *,
    context: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    delay_s: float = 0.0,
    origin: Handler | None = None,
    **changes: Any,
) -> tuple[Outcome, AlternationDetail, list[str | None]]:
    """Return the outcome, its detail and the names that the censor saw."""
    server, client = context or (None, None)
    scheme = "https" if check is Check.SNI else "http"
    async with censored(origin or http_reply(b"page"), decide, context=server, delay_s=delay_s) as (
        port,
        names,
    ):
        outcome = await run_once(
            check,
            "127.0.0.1",
            role=Role.SENSITIVE,
            url=f"{scheme}://{SENSITIVE}:{port}/",
            neutral=NEUTRAL,
            context=client,
            **changes,
        )
    assert isinstance(outcome.detail, AlternationDetail)
    return outcome, outcome.detail, names


async def test_a_free_address_answers_for_both_names(tmp_path: Path) -> None:
    """Both fine, in turn, neutral first; a certificate of another name counts as an answer."""
    outcome, detail, names = await alternated(
        Check.SNI, lambda _: Deed.PASS, context=tls_contexts(tmp_path)
    )
    assert (detail.neutral, detail.sensitive) == ("fff", "fff")
    assert names == [NEUTRAL, SENSITIVE] * 3
    assert (outcome.failure, outcome.address, outcome.family) == (None, "127.0.0.1", 4)
    assert detail.sensitive_page is not None
    assert detail.sensitive_page.status == 200
    assert detail.neutral_page is None
    assert detail.neutral_page_us is None
    assert detail.neutral_hello_us
    assert detail.sensitive_hello_us
    assert detail.time_ratio == detail.sensitive_hello_us / detail.neutral_hello_us
    assert outcome.bytes_out > 6 * 500
    assert outcome.bytes_in > 6 * 500


async def test_nothing_is_requested_over_a_certificate_of_another_name(tmp_path: Path) -> None:
    """The neutral name's connection ends with the handshake: no request is ever sent on it."""
    hosts: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hosts.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await alternated(Check.SNI, lambda _: Deed.PASS, context=tls_contexts(tmp_path), origin=note)
    assert len(hosts) == 3
    assert all(SENSITIVE.encode() in request for request in hosts)


@pytest.mark.parametrize(
    ("deed", "letters", "failure"),
    [
        (Deed.RESET, "rrr", "connection_reset"),
        (Deed.CLOSE, "ccc", "eof_error"),
        (Deed.DROP, "ddd", "generic_timeout_error"),
    ],
)
async def test_a_censor_that_reads_the_sni_hits_the_sensitive_name_only(
    tmp_path: Path, deed: Deed, letters: str, failure: str
) -> None:
    """The same address is fine for the neutral name, three times of three."""
    outcome, detail, _ = await alternated(
        Check.SNI, to_sensitive(deed), context=tls_contexts(tmp_path), timeout_s=1.0
    )
    assert (detail.neutral, detail.sensitive) == ("fff", letters)
    assert outcome.failure == failure
    assert detail.sensitive_hello_us is None
    assert detail.time_ratio is None


async def test_a_slowed_name_shows_in_the_ratio(tmp_path: Path) -> None:
    """Five pairs, each sensitive one held back: the medians' ratio is far above 3."""
    outcome, detail, _ = await alternated(
        Check.SNI,
        to_sensitive(Deed.SLOW),
        context=tls_contexts(tmp_path),
        delay_s=0.3,
        pairs=5,
    )
    assert (detail.neutral, detail.sensitive) == ("f" * 5, "f" * 5)
    assert outcome.failure is None
    assert detail.sensitive_hello_us is not None
    assert detail.sensitive_hello_us >= 300_000
    assert detail.time_ratio is not None
    assert detail.time_ratio > 3


async def test_a_block_after_the_first_hit_is_seen_on_both(tmp_path: Path) -> None:
    """Residual blocking: the first neutral fetch is fine, what comes after the hit is not."""
    seen: list[str | None] = []

    def decide(name: str | None) -> Deed:
        seen.append(name)
        return Deed.RESET if SENSITIVE in seen else Deed.PASS

    _, detail, _ = await alternated(Check.SNI, decide, context=tls_contexts(tmp_path))
    assert (detail.neutral, detail.sensitive) == ("frr", "rrr")


@pytest.mark.parametrize(
    ("deed", "letters", "failure"),
    [
        (Deed.PASS, "fff", None),
        (Deed.RESET, "rrr", "connection_reset"),
        (Deed.DROP, "ddd", "generic_timeout_error"),
        (Deed.REDIRECT, "ooo", None),
        (Deed.PAGE, "fff", None),
    ],
)
async def test_a_censor_that_reads_the_host_header(
    deed: Deed, letters: str, failure: str | None
) -> None:
    """Plain http: reset, silence and an off-domain redirect show in the letters."""
    outcome, detail, names = await alternated(Check.HOST, to_sensitive(deed), timeout_s=1.0)
    assert (detail.neutral, detail.sensitive) == ("fff", letters)
    assert names == [NEUTRAL, SENSITIVE] * 3
    assert outcome.failure == failure
    assert detail.neutral_hello_us is None
    assert detail.neutral_page_us is not None


async def test_a_block_page_is_kept_beside_the_neutral_one() -> None:
    """Status and hash of both pages are evidence; that they differ is for the rules to weigh."""
    _, detail, _ = await alternated(Check.HOST, to_sensitive(Deed.PAGE))
    assert isinstance(detail.sensitive_page, HttpDetail)
    assert isinstance(detail.neutral_page, HttpDetail)
    assert (detail.sensitive_page.status, detail.neutral_page.status) == (403, 200)
    assert detail.sensitive_page.body_sha256 != detail.neutral_page.body_sha256


async def test_a_redirect_within_the_site_is_fine() -> None:
    """http to https of the same site is what most sites do."""
    there = http_reply(b"", status="301 Moved", headers=f"Location: https://www.{SENSITIVE}/\r\n")
    _, detail, _ = await alternated(Check.HOST, lambda _: Deed.PASS, origin=there)
    assert detail.sensitive == "fff"
    assert detail.sensitive_page is not None
    assert detail.sensitive_page.location == f"www.{SENSITIVE}/"


async def test_an_address_that_takes_no_connection_is_not_asked_on() -> None:
    """Where neither name of the first pair gets a connection there is nothing to compare."""
    with full_backlog() as port:
        outcome = await run_once(
            Check.SNI,
            "127.0.0.1",
            url=f"https://{SENSITIVE}:{port}/",
            neutral=NEUTRAL,
            timeout_s=0.3,
        )
    assert outcome.detail == AlternationDetail("u", "u")
    assert outcome.failure == "generic_timeout_error"


async def test_the_name_is_resolved_once_for_both() -> None:
    """One lookup of the sensitive name: the neutral one is asked at the same address."""
    async with (
        stream_server(http_reply(b"page")) as port,
        dns_server(lambda q: [(0, answer(q, "127.0.0.1"))]) as (dns_port, queries),
    ):
        outcome = await run_once(
            Check.HOST,
            SENSITIVE,
            url=f"http://{SENSITIVE}:{port}/",
            neutral=NEUTRAL,
            dns_port=dns_port,
        )
    assert [q.question[0].name.to_text() for q in queries] == [f"{SENSITIVE}."]
    assert isinstance(outcome.detail, AlternationDetail)
    assert outcome.detail.sensitive == "fff"


async def test_a_name_that_leads_into_the_hosts_network_is_not_asked() -> None:
    """Neither the gateway's address nor its page is recorded."""
    async with dns_server(lambda q: [(0, answer(q, "127.0.0.3"))]) as (dns_port, _):
        outcome = await run_once(Check.SNI, SENSITIVE, neutral=NEUTRAL, dns_port=dns_port)
    assert (outcome.failure, outcome.address, outcome.detail) == ("own_network", None, None)


async def test_a_cancelled_alternation_leaves_nothing_open() -> None:
    """Cancellation passes through in the middle of a fetch."""
    arrived = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with stream_server(hold) as port, line_checks() as checks:
        url = f"http://{SENSITIVE}:{port}/"
        made = target("127.0.0.1", Check.HOST, url=url, neutral=NEUTRAL)
        running = asyncio.create_task(checks.run(Check.HOST, made, 4, timeout_s=60))
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(
    ("failure", "phases", "attempt"),
    [
        ("generic_timeout_error", 1, Attempt.UNREACHED),
        ("ssl_failed_handshake", 2, Attempt.ALERT),
        ("ssl_invalid_hostname", 2, Attempt.FINE),
        ("http_malformed_reply", 3, Attempt.OTHER),
        ("connection_reset", 4, Attempt.RESET),
        (None, 5, Attempt.FINE),
    ],
)
def test_each_end_has_its_letter(failure: str | None, phases: int, attempt: Attempt) -> None:
    """A failure before TCP was established says nothing of names."""
    outcome = Outcome(failure, timings_us=(10,) * phases)
    assert attempt_of(outcome, URL("https://a.example/")) is attempt


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("example.org", "www.example.org", True),
        ("WWW.example.org", "example.org", True),
        ("m.example.org", "example.org", True),
        ("example.org", "example.net", False),
        ("org", "example.org", False),
        ("badexample.org", "example.org", False),
        ("@gateway", "example.org", False),
    ],
)
def test_names_of_one_site_are_known(one: str, other: str, same: bool) -> None:
    """A site's own sub-domains are not off its domain."""
    assert same_domain(one, other) is same


async def test_a_target_without_a_neutral_name_is_the_callers_bug() -> None:
    """Configuration errors are raised with what to do, not recorded as network failures."""
    with pytest.raises(ValueError, match="set `neutral`"):
        await run_once(Check.SNI, SENSITIVE)
