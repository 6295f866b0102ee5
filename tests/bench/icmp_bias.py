"""How far our icmp check's round trips are from ping(8)'s, in one run.

Two namespaces joined by a veth pair, 50 addresses behind it. ping and our
pinger run at the same time at the same pace, interleaved by half an interval,
first on one target alone, then on 50 targets spread over a round; a burst of
all 50 at once is shown too, which the scheduler never sends. Exits 1 if a
median is more than 30 µs from ping's. Run as root:

    python -m tests.bench.icmp_bias
"""

import asyncio
import re
import subprocess
import sys
import time
from statistics import median

from linewatch_agent.checks import LineChecks
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.support.netns import Netns, namespaces, wire

BAR_US = 30
ADDRESSES = [f"198.51.100.{n}" for n in range(1, 51)]
ALONE_INTERVAL_S = 0.05
ALONE_COUNT = 300
ROUND_S = 2.0
ROUNDS = 10
PING_RTT = re.compile(r"time=([0-9.]+) ms")


async def measure(mode: str) -> list[float]:
    """Return our round trips in µs; runs inside the probe's namespace."""
    checks = LineChecks(Line("fixed-1", LineKind.FIXED, "probe0", (4,)))
    targets = [Target(id=a, role=Role.DOMESTIC, host=a, checks=(Check.ICMP,)) for a in ADDRESSES]
    if mode == "alone":
        plan = [(targets[0], n * ALONE_INTERVAL_S) for n in range(ALONE_COUNT)]
    elif mode == "spread":
        step_s = ROUND_S / len(targets)
        plan = [
            (target, n * ROUND_S + i * step_s)
            for n in range(ROUNDS)
            for i, target in enumerate(targets)
        ]
    else:
        plan = [(target, n * ROUND_S) for n in range(ROUNDS) for target in targets]
    started_s = time.monotonic()

    async def one(target: Target, at_s: float) -> float | None:
        await asyncio.sleep(max(0.0, started_s + at_s - time.monotonic()))
        outcome = await checks.run(Check.ICMP, target, 4, timeout_s=1)
        return None if outcome.rtt_us is None else float(outcome.rtt_us)

    rtts = await asyncio.gather(*(one(target, at_s) for target, at_s in plan))
    await checks.close()
    answered = [rtt for rtt in rtts if rtt is not None]
    if len(answered) < len(rtts):
        raise RuntimeError(f"cannot compare: {len(rtts) - len(answered)} pings got no reply")
    return answered


def ping_beside(probe: Netns, mode: str, *, interval_s: float, count: int) -> tuple[float, float]:
    """Run ping and ours at once, half an interval apart; return both medians in µs."""
    command = ["ip", "netns", "exec", probe.name, "ping", "-n", "-i", str(interval_s)]
    with subprocess.Popen(
        [*command, "-c", str(count), ADDRESSES[0]], stdout=subprocess.PIPE, text=True
    ) as ping:
        time.sleep(interval_s / 2)
        ours = probe.call("tests.bench.icmp_bias:measure", mode, timeout_s=120)
        assert ping.stdout is not None
        theirs = [float(ms) * 1000 for ms in PING_RTT.findall(ping.stdout.read())]
    return median(ours), median(theirs)


def main() -> int:
    """Measure and print; return 1 if the bar is missed."""
    bad = 0
    with namespaces("probe", "far") as (probe, far):
        wire(
            (probe, "probe0", ("192.0.2.1/24",)),
            (far, "far0", ("192.0.2.2/24", *(f"{a}/32" for a in ADDRESSES))),
        )
        probe.run("ip", "route", "add", "default", "via", "192.0.2.2")
        probe.allow_ping()
        step_s = ROUND_S / len(ADDRESSES)
        for mode, interval_s, count in (
            ("alone", ALONE_INTERVAL_S, ALONE_COUNT),
            ("spread", step_s, ROUNDS * len(ADDRESSES)),
            ("burst", step_s, ROUNDS * len(ADDRESSES)),
        ):
            ours, theirs = ping_beside(probe, mode, interval_s=interval_s, count=count)
            barred = mode != "burst"
            met = abs(ours - theirs) <= BAR_US
            bad += barred and not met
            verdict = ("ok" if met else "MISSED") if barred else "no bar"
            print(
                f"{mode:7} ours {ours:6.0f} µs   ping {theirs:6.0f} µs   "
                f"bias {ours - theirs:+6.0f} µs   bar {BAR_US} µs: {verdict}"
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
