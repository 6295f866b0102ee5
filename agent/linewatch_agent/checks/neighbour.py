"""The neighbour check: is only this address dead, or its whole surroundings?

The target is tried first, and its outcome is the sample's. Only where it fails
are neighbours asked, all at once: a refusal from one is an answer too, since it
shows that packets get there. Source: docs/verdicts.md, `ip_blocked`.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.tcp import check_tcp
from linewatch_core.details import NeighbourDetail

ANSWERS = (None, "connection_refused")
"""Failures of a neighbour that show that it is there."""
_PREFIX = {4: 24, 6: 64}


async def check_neighbour(
    device: str,
    address: str,
    family: int,
    *,
    port: int,
    neighbours: Sequence[str],
    timeout_s: float,
    clock: Clock,
) -> Outcome:
    """Connect to `address`; where that fails, also to its `neighbours`.

    Takes at most twice `timeout_s`.
    """
    own = await check_tcp(device, address, family, port=port, timeout_s=timeout_s, clock=clock)
    if own.failure is None or not neighbours:
        return own
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                check_tcp(device, each, family, port=port, timeout_s=timeout_s, clock=clock)
            )
            for each in neighbours
        ]
    asked = list(zip(neighbours, [task.result() for task in running], strict=True))
    there = [pair for pair in asked if pair[1].failure in ANSWERS]
    chosen, outcome = (there or asked)[0]
    return replace(
        own,
        detail=NeighbourDetail(chosen, outcome.failure, outcome.rtt_us),
        bytes_out=own.bytes_out + sum(each.bytes_out for _, each in asked),
        bytes_in=own.bytes_in + sum(each.bytes_in for _, each in asked),
    )


def next_addresses(address: str) -> tuple[str, ...]:
    """Return the addresses before and after `address` in its /24 or /64, but no end of it."""
    ip = ipaddress.ip_address(address)
    network = ipaddress.ip_network(f"{address}/{_PREFIX[ip.version]}", strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    around = (int(ip) - 1, int(ip) + 1)
    return tuple(str(type(ip)(number)) for number in around if first < number < last)
