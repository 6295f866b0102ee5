"""What test_icmp.py runs inside namespaces: each scene returns its outcomes as JSON."""

import asyncio
import dataclasses
import time
from typing import Any

from linewatch_agent.checks import LineChecks, Outcome
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.icmp import Pinger
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.agent.checks.lab import LateError, kernel_stamps


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome's plain fields (its detail is not icmp's)."""
    values = dataclasses.asdict(dataclasses.replace(outcome, detail=None))
    return dict(values)


async def ping_all(
    device: str, hosts: list[str], timeout_s: float, gateways: dict[str, str]
) -> list[dict[str, Any]]:
    """Ping all hosts at once over one line, each in its own family, and return the outcomes."""
    line = Line(
        "fixed-1",
        LineKind.FIXED,
        device,
        (4, 6),
        {int(family): address for family, address in gateways.items()},
    )
    checks = LineChecks(line)

    async def one(host: str) -> Outcome:
        target = Target(id="t", role=Role.DOMESTIC, host=host, checks=(Check.ICMP,))
        family = 6 if ":" in host else 4
        return await checks.run(Check.ICMP, target, family, timeout_s=timeout_s)

    outcomes = await asyncio.gather(*(one(host) for host in hosts))
    await checks.close()
    return [as_json(outcome) for outcome in outcomes]


async def error_of_another() -> dict[str, Any]:
    """Ping just when the error of another target has reached the socket."""
    pinger = Pinger("lo", 4, clock=Clock())
    pinger._sock = LateError(pinger._open())  # type: ignore[assignment]
    outcome = await pinger.ping("127.0.0.1", timeout_s=5)
    pinger.close()
    return as_json(outcome)


async def stalled_loop(stall_s: float) -> dict[str, Any]:
    """Ping while the event loop is blocked for longer than the timeout."""
    pinger = Pinger("lo", 4, clock=Clock())
    with kernel_stamps():
        running = asyncio.create_task(pinger.ping("127.0.0.1", timeout_s=stall_s / 2))
        await asyncio.sleep(0)
        time.sleep(stall_s)  # noqa: ASYNC251 (the point of the scene)
        outcome = await running
    pinger.close()
    return as_json(outcome)


async def stepped_wall_clock(step_s: float) -> dict[str, Any]:
    """Ping with a realtime clock that has stepped away from the kernel's timestamps."""
    clock = Clock(realtime_ns=lambda: time.time_ns() + int(step_s * 1e9))
    pinger = Pinger("lo", 4, clock=clock)
    outcome = await pinger.ping("127.0.0.1", timeout_s=5)
    pinger.close()
    return as_json(outcome)


async def closed_while_waiting(host: str) -> dict[str, Any]:
    """Close the pinger under a ping that waits, and cancel another."""
    pinger = Pinger("lo", 4, clock=Clock())
    waiting = asyncio.create_task(pinger.ping(host, timeout_s=60))
    cancelled = asyncio.create_task(pinger.ping(host, timeout_s=60))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    pinger.close()
    return {**as_json(await waiting), "cancelled": cancelled.cancelled()}
