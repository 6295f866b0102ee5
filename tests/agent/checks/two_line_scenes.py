"""What test_two_lines.py runs: an operator's services, and a probe's checks of them."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

import dns.message
import dns.rdtypes.IN.A  # dnspython loads these at first use, when the scene may
import dns.rdtypes.IN.AAAA  # no longer be a user who can read where they are
import msgspec

from linewatch_agent.checks import LineChecks
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.agent.checks.servers import answer, dns_server, http_reply

HTTP_PORT = 8080
TIMEOUT_S = 3.0


async def operator(
    name: str, hosts: list[str], dns_hosts: list[str], answers: dict[str, str], tcp_port: int
) -> None:
    """Serve pages, DNS and one TCP port that carry this operator's name, for ever."""

    def script(query: dns.message.Message) -> list[tuple[float, bytes]]:
        family = "4" if query.question[0].rdtype == 1 else "6"
        return [(0, answer(query, answers[family]))]

    async with AsyncExitStack() as stack:
        for host in hosts:
            for port in (HTTP_PORT, tcp_port):
                server = await asyncio.start_server(http_reply(name.encode()), host, port)
                await stack.enter_async_context(server)
        for host in dns_hosts:
            await stack.enter_async_context(dns_server(script, host=host, port=53))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def check_all(lines: list[dict[str, Any]], targets: list[dict[str, Any]]) -> Any:
    """Run every check of every target on every line at once; return them by line and target."""
    made = {line["id"]: LineChecks(_line(line)) for line in lines}
    parsed = [msgspec.convert(target, Target) for target in targets]

    async def one(line: str, target: Target, check: Check, family: int) -> tuple[str, Any]:
        outcome = await made[line].run(check, target, family, timeout_s=TIMEOUT_S)
        detail = msgspec.to_builtins(outcome.detail)
        key = f"{line} {target.id} {check} {family}"
        return key, [outcome.failure, outcome.address, detail]

    results = await asyncio.gather(
        *(
            one(line, target, check, family)
            for line in made
            for target in parsed
            for check in target.checks
            for family in target.families
        )
    )
    for checks in made.values():
        await checks.close()
    return dict(results)


async def user_and_capabilities() -> list[str]:
    """Return the uid and the effective and bounding capabilities of this process."""
    with open("/proc/self/status") as status:  # noqa: ASYNC230 (a file of the kernel's)
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return [lines["Uid"].split()[0], lines["CapEff"], lines["CapBnd"]]


def _line(values: dict[str, Any]) -> Line:
    return Line(
        values["id"],
        LineKind.MOBILE,
        values["device"],
        (4, 6),
        {int(family): address for family, address in values["gateways"].items()},
        tuple(values["resolvers"]),
    )


def target(name: str, host: str, checks: list[Check], **changes: Any) -> dict[str, Any]:
    """Return a target as JSON; `changes` are its other fields."""
    return {"id": name, "host": host, "checks": checks, "role": Role.INTERNATIONAL, **changes}
