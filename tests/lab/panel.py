"""A panel of the agent's own checks that together show what a knob does to a line.

Each entry has a short name; `see` runs all of them on all lines at once and
returns, per line, the outcome of each.
"""

from typing import Any

import msgspec

from linewatch_core.records import HTTP_TIMINGS, Check, Role
from linewatch_core.targets import GATEWAY_HOST, Target
from tests.lab.worker import Worker

BLOCKED = "news-one.example"
EDGE = "11.105.0.10"
PATIENT_S = 10.0
ICMP, TCP, DNS, HTTP = Check.ICMP, Check.TCP, Check.DNS, Check.HTTP


def _target(name: str, host: str, check: Check, **more: Any) -> Target:
    role = more.pop("role", Role.INTERNATIONAL)
    return Target(id=name, host=host, checks=(check,), role=role, families=(4,), **more)


PANEL = (
    _target("gateway", GATEWAY_HOST, ICMP, role=Role.GATEWAY),
    _target("home-icmp", "11.1.0.10", ICMP),
    _target("home-tcp", "11.1.0.10", TCP),
    _target("home-https", "bank.example", HTTP),
    _target("home-other", "11.2.0.10", TCP),
    _target("far-icmp", "11.101.0.10", ICMP),
    _target("far-tcp", "11.102.0.10", TCP),
    _target("far-https", "search.example", HTTP),
    _target("far-dns", "11.101.0.53", DNS, role=Role.RESOLVER, query="search.example"),
    _target("dns", "search.example", DNS),
    _target("dns-blocked", BLOCKED, DNS),
    _target("dns-random", "qzjxkvw.example", DNS),
    # The edge is asked by address, so that what DNS says plays no part.
    _target("edge-tcp", EDGE, TCP),
    _target("sni-blocked", EDGE, HTTP, url=f"https://{BLOCKED}/"),
    _target("sni-neutral", EDGE, HTTP, url="https://neutral.example/"),
    _target("host-blocked", EDGE, HTTP, url=f"http://{BLOCKED}/"),
    _target("host-neutral", EDGE, HTTP, url="http://neutral.example/"),
    _target("by-name", BLOCKED, HTTP),
    _target("portal-check", "check.vendor-one.example", HTTP,
            url="http://check.vendor-one.example/generate_204"),
    _target("broker", "11.110.0.10", TCP, port=8883),
)  # fmt: skip
NAMES = tuple(target.id for target in PANEL)
HEALTHY = {"dns-random": "dns_nxdomain_error"}
"""What fails on a line with no knob: a name that nobody has."""

Seen = dict[str, dict[str, dict[str, Any]]]
"""By line and entry: the outcome, as JSON."""


def see(probe: Worker, lines: list[str]) -> Seen:
    """Run the panel on lines, all at the same instant."""
    asked = [
        [line, msgspec.to_builtins(target), target.checks[0]] for line in lines for target in PANEL
    ]
    outcomes = iter(probe.ask(asked))
    return {line: {name: next(outcomes) for name in NAMES} for line in lines}


def failures(seen: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the failures among a line's outcomes, by entry."""
    return {name: outcome["failure"] for name, outcome in seen.items() if outcome["failure"]}


def bodies_us(probe: Worker, line: str, names: tuple[str, ...]) -> list[int]:
    """Return how long a 40 kB page of each name takes after its first byte, fetched at once.

    All are fetched from one address; 40 kB is three TLS records and three flights.
    """
    targets = [_target(f"page-{n}", EDGE, HTTP, url=f"https://{name}/bytes/40000")
               for n, name in enumerate(names)]  # fmt: skip
    asked = [[line, msgspec.to_builtins(target), HTTP, PATIENT_S] for target in targets]
    at = HTTP_TIMINGS.index("body")
    return [int(outcome["timings_us"][at]) for outcome in probe.ask(asked)]
