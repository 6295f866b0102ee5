"""Each check ends within the time that it states, and each one can be run."""

import asyncio

import pytest

from linewatch_agent.checks.limits import time_limit_s
from linewatch_agent.plan.target_rules import CHECKS
from linewatch_core.records import Check, Role
from linewatch_core.targets import Resolver, Target
from tests.agent.checks.lab import line_checks, loopback
from tests.agent.checks.servers import dns_server as resolver_of
from tests.agent.checks.servers import full_backlog, silent, stream_server, tarpit

TIMEOUT_S = 0.2
ANSWERED = (Check.TCP, Check.TRACE)
"""The kernel itself answers these; a busy machine may take a while."""
SLACK_S = 1.5


def target(check: Check, port: int, **changes: object) -> Target:
    """Return a target that can have any check, at a port that never says a word."""
    scheme = "https" if check is Check.SNI else "http"
    values: dict[str, object] = {
        "id": "t",
        "role": Role.SENSITIVE,
        "host": "127.0.0.1",
        "checks": (check,),
        "port": port,
        "url": f"{scheme}://banned.example:{port}/",
        "query": "banned.example",
        "neutral": "plain.example",
        "neighbour": "127.0.0.1",
        "resolver": Resolver(address="127.0.0.1", port=port, tls_port=port, https_port=port),
        **changes,
    }
    return Target(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("check", [check for check in CHECKS if check is not Check.ICMP])
async def test_a_check_ends_in_time_whatever_is_silent(check: Check) -> None:
    """No check outlives its limit where nothing ever answers; none raises."""
    async with (
        stream_server(tarpit) as tarpit_port,
        resolver_of(silent) as (dns_port, _),
        line_checks(loopback(), dns_port=dns_port) as checks,
    ):
        with full_backlog() as deaf_port:
            asked = target(check, deaf_port if check is Check.NEIGHBOUR else tarpit_port)
            timeout_s = 5.0 if check in ANSWERED else TIMEOUT_S
            limit_s = time_limit_s(check, asked, timeout_s=timeout_s)
            async with asyncio.timeout(limit_s + SLACK_S):
                outcome = await checks.run(check, asked, 4, timeout_s=timeout_s)
    assert (outcome.failure is None) == (check in ANSWERED)


@pytest.mark.parametrize("check", CHECKS)
async def test_a_family_that_the_line_lacks_sends_no_packet(check: Check) -> None:
    """The kernel might send it with another line's source address."""
    line = loopback(families=(6,), resolvers=())
    async with line_checks(line) as checks:
        outcome = await checks.run(check, target(check, 9), 4, timeout_s=TIMEOUT_S)
    assert outcome.failure in ("address_not_available", "no_resolver")
    assert (outcome.bytes_out, outcome.bytes_in) == (0, 0)


@pytest.mark.parametrize(
    ("check", "pairs", "factor"),
    [(Check.ICMP, 3, 1), (Check.SNI, 3, 7), (Check.HOST, 10, 21), (Check.NEIGHBOUR, 3, 2)],
)
def test_the_limit_grows_with_the_tries(check: Check, pairs: int, factor: int) -> None:
    """A lookup and both names in turn; the target and then its neighbours."""
    asked = target(check, 443, pairs=pairs)
    assert time_limit_s(check, asked, timeout_s=2.0) == 2.0 * factor
