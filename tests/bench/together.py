"""What it does to round trips that several checks begin at one instant.

Two namespaces joined by a veth pair, fifty addresses behind it that answer pings, TCP and
DNS (a responder that answers within some 10 µs, so that no queue of its own is measured).
Each check is run alone, five at once as the schedule may have it, and all fifty at once as
it never does, in turns within one run. Exits 1 if the median of five at once is more than
100 µs from that of one alone. As root:

    python -m tests.bench.together
"""

import asyncio
import socket
import sys
import threading
from collections import defaultdict
from statistics import median, quantiles

from linewatch_agent.checks import LineChecks
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.schedule import TOGETHER, TOGETHER_MAX
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.support.netns import namespaces, wire

BAR_US = 100
ADDRESSES = [f"198.51.100.{n}" for n in range(1, 51)]
TURNS = 60
REST_S = 0.1
"""Between two starts: long enough for the caches to be others' again, as in a real round."""
AT_ONCE = (1, TOGETHER_MAX, len(ADDRESSES))


async def serve() -> None:
    """Answer DNS queries with NXDOMAIN and take TCP connections, for ever."""
    for address in ADDRESSES:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 53))
        threading.Thread(target=_answer, args=(sock,), daemon=True).start()
        await asyncio.start_server(lambda _, writer: writer.close(), address, 80)
    print("ready", flush=True)
    await asyncio.Event().wait()


def _answer(sock: socket.socket) -> None:
    while True:
        query, sender = sock.recvfrom(512)
        sock.sendto(query[:2] + b"\x81\x83" + query[4:], sender)


async def measure(check: str) -> dict[str, list[int]]:
    """Return the round trips in µs by how many began at once; inside the probe's namespace."""
    checks = LineChecks(Line("fixed-1", LineKind.FIXED, "probe0", (4,)))
    kind = Check(check)
    role = Role.RESOLVER if kind is Check.DNS else Role.DOMESTIC
    targets = [
        Target(id=a, role=role, host=a, checks=(kind,), port=80, query="example.org")
        for a in ADDRESSES
    ]
    found: dict[str, list[int]] = defaultdict(list)
    for turn in range(TURNS):
        for count in AT_ONCE:
            await asyncio.sleep(REST_S)
            some = [targets[(turn + n) % len(targets)] for n in range(count)]
            outcomes = await asyncio.gather(*(checks.run(kind, t, 4, timeout_s=2) for t in some))
            rtts = [one.rtt_us for one in outcomes if one.rtt_us is not None]
            if len(rtts) < count:
                raise RuntimeError(f"cannot compare: {count - len(rtts)} of {count} got no reply")
            found[str(count)] += rtts
    await checks.close()
    return found


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
        far.serve("tests.bench.together:serve")
        for check in sorted(TOGETHER):
            found = probe.call("tests.bench.together:measure", check.value, timeout_s=120)
            alone = median(found["1"])
            for count in AT_ONCE:
                rtts = found[str(count)]
                bias = median(rtts) - alone
                barred = count == TOGETHER_MAX
                met = abs(bias) <= BAR_US
                bad += barred and not met
                verdict = f"bar {BAR_US} µs: {'met' if met else 'MISSED'}" if barred else "no bar"
                print(
                    f"{check:5} {count:2} at once: median {median(rtts):6.0f} µs, 90 % below "
                    f"{quantiles(rtts, n=10)[-1]:6.0f}   against alone {bias:+6.0f} µs   {verdict}"
                )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
