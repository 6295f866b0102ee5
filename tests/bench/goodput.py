"""Measures the throughput check against shaped links: `python -m tests.bench.goodput`.

A probe and a site in two namespaces, the site's side shaped by tbf. Prints the rate
told, as a share of the rate set; headers of IP and TCP take 4.5 % of that.
"""

import asyncio
import statistics

from linewatch_agent.checks import LineChecks
from linewatch_agent.plan.line import Line
from linewatch_core.details import ThroughputDetail
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.agent.checks.servers import http_reply
from tests.support.netns import namespaces, wire

RATES_KBIT = (256, 1_000, 4_000, 20_000)
RUNS = 5
SITE = "10.9.0.1"
PORT = 8080


def main() -> None:
    """Print a line for each rate."""
    with namespaces("probe", "site") as (probe, site):
        wire((probe, "wan0", ("10.9.0.2/24",)), (site, "lan0", (f"{SITE}/24",)))
        site.serve("tests.bench.goodput:serve")
        for rate in RATES_KBIT:
            shape = f"tc qdisc replace dev lan0 root tbf rate {rate}kbit burst 6kb latency 300ms"
            site.run(*shape.split())
            told = statistics.median(probe.call("tests.bench.goodput:measure"))
            print(f"{rate:6} kbit/s set, {told:6.0f} told: {told / rate:.3f}")


async def serve() -> None:
    """Serve a file of 64 KiB, for ever."""
    server = await asyncio.start_server(http_reply(bytes(65_536)), SITE, PORT)
    async with server:
        print("ready", flush=True)
        await asyncio.Event().wait()


async def measure() -> list[float]:
    """Return what some runs of the check told, in kbit/s."""
    checks = LineChecks(Line("mobile-1", LineKind.MOBILE, "wan0", (4,)))
    target = Target(
        id="goodput",
        role=Role.NEUTRAL,
        host=SITE,
        checks=(Check.THROUGHPUT,),
        url=f"http://{SITE}:{PORT}/",
    )
    told = []
    for _ in range(RUNS):
        outcome = await checks.run(Check.THROUGHPUT, target, 4, timeout_s=5)
        if isinstance(outcome.detail, ThroughputDetail) and outcome.detail.bytes_per_s:
            told.append(outcome.detail.bytes_per_s * 8 / 1000)
    await checks.close()
    return told


if __name__ == "__main__":
    main()
