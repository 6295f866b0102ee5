"""The neighbour check: one dead address among living ones, or a dead network."""

import asyncio
from typing import Any

import pytest

from linewatch_agent.checks.neighbour import next_addresses
from linewatch_agent.checks.outcome import Outcome
from linewatch_core.details import NeighbourDetail
from linewatch_core.records import Check
from tests.agent.checks.lab import line_checks, loopback, run_once, target
from tests.agent.checks.servers import answer, dns_server, full_backlog, stream_server, tarpit

DEAD = "127.0.0.1"
"""Where `full_backlog` lets no handshake complete."""


async def asked(port: int, **changes: Any) -> Outcome:
    """Return the outcome of asking for the neighbours of DEAD."""
    return await run_once(Check.NEIGHBOUR, DEAD, port=port, timeout_s=1.0, **changes)


async def test_a_target_that_answers_costs_no_neighbour() -> None:
    """The neighbour would tell nothing, so it is left in peace."""
    async with stream_server(tarpit) as port:
        outcome = await asked(port)
    assert (outcome.failure, outcome.detail, outcome.address) == (None, None, DEAD)
    assert outcome.rtt_us is not None


async def test_a_neighbour_that_answers_shows_one_dead_address() -> None:
    """The target times out, a host beside it listens on the same port."""
    with full_backlog() as port:
        async with stream_server(tarpit, host="127.0.0.9", port=port):
            outcome = await asked(port, neighbour="127.0.0.9")
    assert outcome.failure == "generic_timeout_error"
    assert isinstance(outcome.detail, NeighbourDetail)
    assert (outcome.detail.address, outcome.detail.failure) == ("127.0.0.9", None)
    assert outcome.detail.rtt_us is not None
    assert outcome.bytes_in > 0


async def test_a_refusal_is_an_answer_too() -> None:
    """The next address has no such service, but packets get there and back."""
    with full_backlog() as port:
        outcome = await asked(port)
    assert outcome.failure == "generic_timeout_error"
    assert outcome.detail == NeighbourDetail("127.0.0.2", "connection_refused")


async def test_dead_neighbours_are_told_as_dead() -> None:
    """The whole surroundings are silent: the first neighbour's failure says so."""
    with full_backlog() as port:
        outcome = await asked(port, neighbour=DEAD)
    assert outcome.detail == NeighbourDetail(DEAD, "generic_timeout_error")
    assert outcome.bytes_out > 0
    assert outcome.bytes_in == 0


async def test_no_device_of_the_hosts_home_is_asked() -> None:
    """A forged answer leads into the gateway's network: nothing there is touched or told."""
    async with dns_server(lambda q: [(0, answer(q, "127.0.7.9"))]) as (port, _):
        outcome = await run_once(
            Check.NEIGHBOUR,
            "www.example.org",
            line=loopback(gateways={4: "127.0.7.1"}),
            dns_port=port,
        )
    assert (outcome.failure, outcome.address, outcome.detail) == ("own_network", None, None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", ("192.0.2.6", "192.0.2.8")),
        ("192.0.2.1", ("192.0.2.2",)),
        ("192.0.2.254", ("192.0.2.253",)),
        ("192.0.2.0", ("192.0.2.1",)),
        ("192.0.2.255", ("192.0.2.254",)),
        ("2001:db8::7", ("2001:db8::6", "2001:db8::8")),
        ("2001:db8::1", ("2001:db8::2",)),
        ("255.255.255.255", ("255.255.255.254",)),
        ("0.0.0.0", ("0.0.0.1",)),
    ],
)
def test_neighbours_are_next_to_an_address_in_its_network(
    address: str, expected: tuple[str, ...]
) -> None:
    """Never the ends of a network, which are no hosts."""
    assert next_addresses(address) == expected


async def test_a_cancelled_check_leaves_nothing_open() -> None:
    """Cancellation passes through while the target is silent."""
    with full_backlog() as port:
        async with line_checks() as checks:
            made = target(DEAD, Check.NEIGHBOUR, port=port)
            running = asyncio.create_task(checks.run(Check.NEIGHBOUR, made, 4, timeout_s=60))
            await asyncio.sleep(0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
