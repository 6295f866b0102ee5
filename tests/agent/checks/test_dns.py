"""The dns check on loopback: answers, codes, forged and broken replies."""

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.dns_packets import ANSWERS_MAX, NotAReply, Reply, parse_reply
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.dns_message import make_query
from linewatch_core.details import DnsDetail
from linewatch_core.records import Check, Role
from tests.agent.checks.lab import line_checks, loopback, run_once, target
from tests.agent.checks.servers import (
    RESOLVER,
    Script,
    answer,
    dns_over_tcp,
    dns_server,
    silent,
    stream_server,
)

NAME = "www.example.org"


async def asked(script: Script, family: int = 4, **changes: Any) -> Outcome:
    """Return the outcome of asking a scripted resolver for NAME."""
    async with dns_server(script) as (port, _):
        return await run_once(Check.DNS, NAME, family, dns_port=port, **changes)


async def test_an_answer_is_recorded_sorted() -> None:
    """Addresses are sorted; the resolver is the line's own, so its address is not recorded."""
    outcome = await asked(lambda q: [(0, answer(q, "192.0.2.9", "192.0.2.10"))])
    assert outcome.detail == DnsDetail("NOERROR", ("192.0.2.10", "192.0.2.9"))
    assert (outcome.failure, outcome.family, outcome.address) == (None, 4, None)
    assert outcome.rtt_us is not None
    assert outcome.bytes_out == 28 + 12 + len(NAME) + 2 + 4
    assert outcome.bytes_in == outcome.bytes_out + 2 * 16


async def test_family_6_asks_for_aaaa() -> None:
    """The family decides the question, not how it travels."""
    async with dns_server(lambda q: [(0, answer(q, "2001:db8::1"))]) as (port, queries):
        outcome = await run_once(Check.DNS, NAME, 6, dns_port=port)
    assert [q.question[0].to_text() for q in queries] == [f"{NAME}. IN AAAA"]
    assert outcome.detail == DnsDetail("NOERROR", ("2001:db8::1",))
    assert outcome.family == 6


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [
        (dns.rcode.NXDOMAIN, "dns_nxdomain_error"),
        (dns.rcode.SERVFAIL, "dns_servfail_error"),
        (dns.rcode.REFUSED, "dns_refused_error"),
        (dns.rcode.NOTIMP, "dns_server_misbehaving"),
        (dns.rcode.NOERROR, "dns_no_answer"),
    ],
)
async def test_a_code_has_its_failure(rcode: dns.rcode.Rcode, failure: str) -> None:
    """A reply without an address fails by its code, and is still timed and detailed."""
    outcome = await asked(lambda q: [(0, answer(q, rcode=rcode))])
    assert outcome.failure == failure
    assert outcome.rtt_us is not None
    assert outcome.detail == DnsDetail(dns.rcode.to_text(rcode), ())


async def test_a_second_differing_reply_is_caught() -> None:
    """The forged answer comes first, the true one later: both are kept, with the delay."""
    outcome = await asked(lambda q: [(0, answer(q, "10.10.34.34")), (0.1, answer(q, "192.0.2.1"))])
    assert isinstance(outcome.detail, DnsDetail)
    assert outcome.detail.answers == ("10.10.34.34",)
    assert outcome.detail.second == ("192.0.2.1",)
    assert outcome.detail.second_after_us is not None
    assert 20_000 < outcome.detail.second_after_us < 500_000


async def test_a_second_reply_without_address_is_empty_not_none() -> None:
    """An NXDOMAIN after an answer differs, and says so with an empty list."""
    outcome = await asked(
        lambda q: [(0, answer(q, "192.0.2.1")), (0.01, answer(q, rcode=dns.rcode.NXDOMAIN))]
    )
    assert isinstance(outcome.detail, DnsDetail)
    assert outcome.detail.second == ()


async def test_the_same_reply_twice_is_no_second() -> None:
    """A duplicated datagram, even reordered inside, is not evidence."""
    outcome = await asked(
        lambda q: [
            (0, answer(q, "192.0.2.1", "192.0.2.2")),
            (0.01, answer(q, "192.0.2.2", "192.0.2.1")),
        ]
    )
    assert outcome.detail == DnsDetail("NOERROR", ("192.0.2.1", "192.0.2.2"))


async def test_replies_to_other_questions_are_ignored() -> None:
    """A wrong id or another name is nobody's answer; the right one still counts."""

    def script(query: dns.message.Message) -> list[tuple[float, bytes]]:
        wrong_id = bytearray(answer(query, "192.0.2.66"))
        wrong_id[0] ^= 0xFF
        other = dns.message.make_query("other.example.org", "A", id=query.id)
        return [
            (0, bytes(wrong_id)),
            (0, answer(other, "192.0.2.67")),
            (0, query.to_wire()),
            (0.01, answer(query, "192.0.2.1")),
        ]

    outcome = await asked(script)
    assert outcome.detail == DnsDetail("NOERROR", ("192.0.2.1",))


async def test_garbage_alone_is_a_malformed_reply() -> None:
    """Bytes with our id that are no DNS are evidence of something, not of silence."""
    outcome = await asked(
        lambda q: [(0, q.id.to_bytes(2, "big") + b"\x81\x80" + b"\xff" * 20)], timeout_s=1.0
    )
    assert (outcome.failure, outcome.detail) == ("dns_malformed_reply", None)


async def test_silence_is_a_timeout() -> None:
    """No reply is generic_timeout_error; the query is counted."""
    outcome = await asked(silent, timeout_s=0.1)
    assert (outcome.failure, outcome.bytes_in) == ("generic_timeout_error", 0)
    assert outcome.bytes_out > 0


async def test_a_port_without_a_server_is_refused() -> None:
    """An ICMP port unreachable is connection_refused."""
    async with dns_server(silent) as (port, _):
        pass
    outcome = await run_once(Check.DNS, NAME, dns_port=port)
    assert outcome.failure == "connection_refused"


async def test_a_truncated_reply_is_asked_for_again_over_tcp() -> None:
    """The whole answer comes over TCP, and both questions' bytes count."""
    async with (
        stream_server(dns_over_tcp("192.0.2.1", "192.0.2.2"), host=RESOLVER) as port,
        dns_server(lambda q: [(0, answer(q, truncated=True))], port=port),
    ):
        outcome = await run_once(Check.DNS, NAME, dns_port=port)
    assert (outcome.failure, outcome.detail) == (
        None,
        DnsDetail("NOERROR", ("192.0.2.1", "192.0.2.2")),
    )
    assert outcome.bytes_out > 200


async def test_a_truncated_reply_without_tcp_is_a_failure() -> None:
    """A censor's resolver may have no TCP: that is refused, not half an answer."""
    async with dns_server(lambda q: [(0, answer(q, truncated=True))]) as (port, _):
        outcome = await run_once(Check.DNS, NAME, dns_port=port)
    assert (outcome.failure, outcome.detail) == ("connection_refused", None)


async def test_a_resolver_is_asked_itself_and_recorded() -> None:
    """With the role `resolver` the question goes to the host, for `query`."""
    async with dns_server(lambda q: [(0, answer(q, "192.0.2.1"))]) as (port, queries):
        outcome = await run_once(
            Check.DNS,
            RESOLVER,
            line=loopback(resolvers=()),
            role=Role.RESOLVER,
            query=NAME,
            dns_port=port,
        )
    assert (outcome.failure, outcome.address) == (None, RESOLVER)
    assert [q.question[0].name.to_text() for q in queries] == [f"{NAME}."]


async def test_the_lines_own_resolver_is_not_recorded() -> None:
    """@resolver is asked, and where it is stays on the probe."""
    async with dns_server(lambda q: [(0, answer(q, "192.0.2.1"))]) as (port, _):
        outcome = await run_once(
            Check.DNS, "@resolver", role=Role.RESOLVER, query=NAME, dns_port=port
        )
    assert (outcome.failure, outcome.address) == (None, None)


async def test_an_answer_that_is_the_gateway_itself_is_not_recorded() -> None:
    """A router that answers with itself must not put the host's network on record."""
    line = loopback(gateways={4: "192.168.7.1"})
    outcome = await asked(lambda q: [(0, answer(q, "192.168.7.1", "192.168.7.9"))], line=line)
    assert outcome.detail == DnsDetail("NOERROR", ("192.168.7.9", "@gateway"))


async def test_a_line_without_resolver_says_so() -> None:
    """No resolver is a failure of its own name, for a name and for the dns check."""
    line = loopback(resolvers=())
    for check in (Check.DNS, Check.TCP, Check.ICMP, Check.HTTP):
        outcome = await run_once(check, NAME, line=line)
        assert (outcome.failure, outcome.family) == ("no_resolver", 0)


async def test_a_resolver_target_without_query_is_the_callers_bug() -> None:
    """Configuration errors are raised with what to do, not recorded as network failures."""
    with pytest.raises(ValueError, match="a resolver needs `query`"):
        await run_once(Check.DNS, "127.0.0.1", role=Role.RESOLVER)


async def test_a_cancelled_check_closes_its_socket() -> None:
    """Cancellation passes through while listening, and leaves nothing open."""
    asked_for = asyncio.Event()

    def script(query: dns.message.Message) -> list[tuple[float, bytes]]:
        asked_for.set()
        return []

    async with dns_server(script) as (port, _), line_checks(dns_port=port) as checks:
        running = asyncio.create_task(
            checks.run(Check.DNS, target(NAME, Check.DNS), 4, timeout_s=60)
        )
        await asked_for.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


QUERY = make_query(NAME, 4, id=0x1234)


@given(st.binary(max_size=600), st.booleans())
def test_any_bytes_are_a_reply_or_not(data: bytes, ours: bool) -> None:
    """Whatever comes in, the parser returns one of its three values."""
    if ours:
        data = b"\x12\x34\x81\x80" + data
    assert isinstance(parse_reply(QUERY, data), (Reply, NotAReply))


@given(st.data())
def test_a_damaged_reply_never_raises(data: st.DataObject) -> None:
    """Flips and cuts of a true reply give a value, bounded in size."""
    wire = bytearray(
        answer(dns.message.from_wire(QUERY.wire), *(f"192.0.2.{n}" for n in range(60)))
    )
    for _ in range(data.draw(st.integers(0, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    reply = parse_reply(QUERY, bytes(wire[: data.draw(st.integers(0, len(wire)))]))
    if isinstance(reply, Reply):
        assert len(reply.addresses) <= ANSWERS_MAX
