"""How a target's name becomes an address, and that a dead resolver kills no check."""

import asyncio

import dns.message
import dns.rcode

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.resolve import FRESH_S, HostFinder
from linewatch_core.records import Check
from tests.agent.checks.lab import TIMEOUT_S, line_checks, loopback, target
from tests.agent.checks.servers import Script, answer, dns_server, stream_server, tarpit

NAME = "www.example.org"


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.now_ns = 0

    def clock(self) -> Clock:
        """Return the clock."""
        return Clock(monotonic_ns=lambda: self.now_ns)


class Mood:
    """A resolver that answers until told to fail."""

    def __init__(self) -> None:
        self.rcode = dns.rcode.NOERROR

    def script(self) -> Script:
        """Return what to serve."""

        def reply(query: dns.message.Message) -> list[tuple[float, bytes]]:
            found = ("127.0.0.1",) if self.rcode == dns.rcode.NOERROR else ()
            return [(0, answer(query, *found, rcode=self.rcode))]

        return reply


async def test_a_name_is_looked_up_and_its_address_recorded() -> None:
    """A named target's outcome has the address measured and the lookup's bytes."""
    async with (
        stream_server(tarpit) as port,
        dns_server(Mood().script()) as (dns_port, _),
        line_checks(dns_port=dns_port) as checks,
    ):
        named = target(NAME, Check.TCP, port=port)
        first = await checks.run(Check.TCP, named, 4, timeout_s=TIMEOUT_S)
        second = await checks.run(Check.TCP, named, 4, timeout_s=TIMEOUT_S)
    assert (first.failure, first.family, first.address) == (None, 4, "127.0.0.1")
    assert first.bytes_out >= second.bytes_out + 28 + 12


async def test_icmp_and_tcp_share_an_answer_while_it_is_fresh() -> None:
    """One lookup serves a minute of checks; http, which measures it, always asks anew."""
    hands = Hands()
    async with dns_server(Mood().script()) as (port, queries):
        finder = HostFinder(loopback(), clock=hands.clock(), dns_port=port)
        await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
        hands.now_ns = int(FRESH_S * 1e9) - 1
        await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
        assert len(queries) == 1
        await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=True)
        assert len(queries) == 2
        hands.now_ns += int(FRESH_S * 1e9)
        await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
    assert len(queries) == 3


async def test_a_dead_resolver_is_not_taken_for_a_dead_host() -> None:
    """icmp and tcp go on with the last address that the line heard; http fails by DNS."""
    hands, mood = Hands(), Mood()
    async with dns_server(mood.script()) as (port, _):
        finder = HostFinder(loopback(), clock=hands.clock(), dns_port=port)
        await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
        mood.rcode = dns.rcode.SERVFAIL
        hands.now_ns = 10**15
        kept = await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
        asked = await finder.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=True)
    assert (kept.address, kept.failure) == ("127.0.0.1", None)
    assert (asked.address, asked.failure) == (None, "dns_servfail_error")


async def test_what_one_line_heard_is_unknown_to_another() -> None:
    """Each line has its own memory: no line is judged by what another's resolver said."""
    mood = Mood()
    async with dns_server(mood.script()) as (port, _):
        one = HostFinder(loopback(), clock=Clock(), dns_port=port)
        other = HostFinder(loopback(), clock=Clock(), dns_port=port)
        await one.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
        mood.rcode = dns.rcode.NXDOMAIN
        found = await other.find(NAME, 4, timeout_s=TIMEOUT_S, afresh=False)
    assert found.failure == "dns_nxdomain_error"


async def test_one_lost_query_is_asked_again() -> None:
    """A lookup tries twice, so that a lost packet is no failed lookup."""
    seen = asyncio.Event()

    def script(query: dns.message.Message) -> list[tuple[float, bytes]]:
        if seen.is_set():
            return [(0, answer(query, "192.0.2.1"))]
        seen.set()
        return []

    async with dns_server(script) as (port, queries):
        finder = HostFinder(loopback(), clock=Clock(), dns_port=port)
        found = await finder.find(NAME, 4, timeout_s=2.0, afresh=False)
    assert (found.address, len(queries)) == ("192.0.2.1", 2)


async def test_a_name_that_is_no_name_is_a_failure() -> None:
    """A host that DNS cannot carry is an unknown failure and stays out of its text."""
    finder = HostFinder(loopback(), clock=Clock(), dns_port=53)
    found = await finder.find("x" * 70 + ".example", 4, timeout_s=TIMEOUT_S, afresh=False)
    assert found.failure is not None
    assert found.failure.startswith("unknown_failure: MalformedError")
    assert "example" not in found.failure


def test_only_the_lines_own_private_addresses_are_own() -> None:
    """A public resolver's address tells nothing of the host and stays recordable."""
    line = loopback(gateways={4: "192.168.7.1", 6: "fe80::1%lo"}, resolvers=("9.9.9.9",))
    finder = HostFinder(line, clock=Clock(), dns_port=53)
    assert finder.is_own("192.168.7.1")
    assert finder.is_own("fe80::1")
    assert not finder.is_own("9.9.9.9")
    assert not finder.is_own("10.10.34.34")
    assert not finder.is_own("www.example.org")
