"""The random_name check: honest resolvers know no such name, portals know them all."""

import re

import dns.message
import dns.rcode
import pytest

from linewatch_agent.checks.random_name import random_name
from linewatch_core.details import DnsDetail
from linewatch_core.records import Check, Role
from tests.agent.checks.lab import run_once
from tests.agent.checks.servers import RESOLVER, Script, answer, dns_server, silent


async def test_a_name_that_cannot_exist_is_not_found() -> None:
    """NXDOMAIN is the right answer, so there is no failure; each time another name is asked."""
    async with dns_server(lambda q: [(0, answer(q, rcode=dns.rcode.NXDOMAIN))]) as (port, queries):
        for _ in range(2):
            outcome = await run_once(Check.RANDOM_NAME, "example.org", dns_port=port)
            assert (outcome.failure, outcome.detail) == (None, DnsDetail("NXDOMAIN", ()))
            assert outcome.bytes_out > 0
    names = [q.question[0].name.to_text() for q in queries]
    assert all(re.fullmatch(r"[a-z]{18}\.example\.org\.", name) for name in names)
    assert len(set(names)) == 2


async def test_a_resolver_that_answers_for_every_name_is_caught() -> None:
    """An address for a name that nobody has is invented, and recorded."""
    async with dns_server(lambda q: [(0, answer(q, "192.0.2.80"))]) as (port, _):
        outcome = await run_once(Check.RANDOM_NAME, "invalid", dns_port=port)
    assert outcome.failure == "dns_invented_answer"
    assert outcome.detail == DnsDetail("NOERROR", ("192.0.2.80",))


def servfail(query: dns.message.Message) -> list[tuple[float, bytes]]:
    """Answer SERVFAIL."""
    return [(0, answer(query, rcode=dns.rcode.SERVFAIL))]


def empty(query: dns.message.Message) -> list[tuple[float, bytes]]:
    """Answer NOERROR without an address."""
    return [(0, answer(query))]


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (servfail, "dns_servfail_error"),
        (empty, "dns_no_answer"),
        (silent, "generic_timeout_error"),
    ],
)
async def test_what_is_neither_keeps_its_own_failure(script: Script, failure: str) -> None:
    """A broken resolver is not a portal."""
    async with dns_server(script) as (port, _):
        outcome = await run_once(Check.RANDOM_NAME, "invalid", dns_port=port, timeout_s=1.0)
    assert outcome.failure == failure


async def test_another_resolver_can_be_asked() -> None:
    """With the role `resolver` the question goes to the host, under `query`."""
    async with dns_server(lambda q: [(0, answer(q, rcode=dns.rcode.NXDOMAIN))]) as (port, queries):
        outcome = await run_once(
            Check.RANDOM_NAME, RESOLVER, role=Role.RESOLVER, query="example.org", dns_port=port
        )
    assert (outcome.failure, outcome.address) == (None, RESOLVER)
    assert len(queries) == 1


def test_random_names_are_host_names() -> None:
    """One label of letters before the suffix."""
    assert re.fullmatch(r"[a-z]{18}\.invalid", random_name("invalid"))
