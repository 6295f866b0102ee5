"""The country's namespaces and cables, as commands for ip(8).

Pure: from the plan to text for `ip -batch`; country.py runs it. No namespace
has a way out: each one's routes end inside the lab.
"""

from collections.abc import Iterator

from linewatch_core.records import LineKind
from tests.lab.plan import HOME_NETWORK, HOME_ROUTER, PROBE_AT_HOME, CountryPlan, LinePlan

EDGES = ("foreign", "server", "provider")
"""What hangs on the international gateway."""
INTERNATIONAL = "international"
"""The relay's name of the link between the exchange and the gateway."""
_TUN_QUEUE = 2000
"""Packets that a TUN holds while the relay is busy; the kernel's 500 is short in a burst."""


def places(plan: CountryPlan) -> tuple[str, ...]:
    """Return the names of all namespaces."""
    operators = (each.name for each in plan.operator)
    return ("probe", "home", *operators, "exchange", "domestic", "gateway", *EDGES)


def tun_pairs(plan: CountryPlan) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Return the relay's links: per name two (place, device), the probe's side first."""
    pairs = {line.id: (_outside(line), (line.operator, f"ac-{line.id}")) for line in plan.line}
    return pairs | {INTERNATIONAL: (("exchange", "intl0"), ("gateway", "home0"))}


def veths(plan: CountryPlan, name_of: dict[str, str]) -> list[str]:
    """Return the commands that make the cables between namespaces."""
    pairs = [(("probe", line.device), ("home", "lan0")) for line in _fixed(plan)]
    pairs += [((each.name, "up0"), ("exchange", each.name)) for each in plan.operator]
    pairs += [(("domestic", "up0"), ("exchange", "domestic"))]
    pairs += [((edge, "up0"), ("gateway", edge)) for edge in EDGES]
    return [
        f"link add {near[1]} netns {name_of[near[0]]} type veth"
        f" peer name {far[1]} netns {name_of[far[0]]}"
        for near, far in pairs
    ]


def setup(plan: CountryPlan) -> dict[str, list[str]]:
    """Return per namespace what gives it addresses and routes, once its devices are there."""
    commands: dict[str, list[str]] = {place: ["link set lo up"] for place in places(plan)}
    for line in plan.line:
        _wire_line(plan, line, commands)
    uplinks = [*(each.name for each in plan.operator), "domestic"]
    for number, place in enumerate(uplinks, start=1):
        _wire_edge("exchange", place, f"10.0.{number}", commands)
    for number, place in enumerate(EDGES, start=1):
        _wire_edge("gateway", place, f"10.1.{number}", commands)
    for operator in plan.operator:
        for address in (operator.resolver, operator.portal, operator.block_page):
            commands[operator.name].append(f"address add {address}/32 dev lo")
        network = ".".join(operator.resolver.split(".")[:2]) + ".0.0/16"
        commands["exchange"].append(
            f"route add {network} dev {operator.name} {_via(plan, operator.name)}"
        )
    _wire_international(plan, commands)
    for site in plan.site:
        # Where the address is taken away (site_down), silence answers, not an error.
        commands[site.place] += [
            f"address add {site.address}/32 dev lo",
            f"route add blackhole {site.address}/32",
        ]
    return commands


def mobile_up(plan: CountryPlan, line: LinePlan) -> list[str]:
    """Return what a granted bearer sets on the probe: an address and a default route."""
    subnet = plan.subnet(line)
    return [
        f"address replace {subnet}.2/24 dev {line.device}",
        f"route replace default via {subnet}.1 dev {line.device} metric {_metric(plan, line)}",
    ]


def _wire_line(plan: CountryPlan, line: LinePlan, commands: dict[str, list[str]]) -> None:
    subnet, (place, device) = plan.subnet(line), _outside(line)
    commands[place] += [f"link set {device} up txqueuelen {_TUN_QUEUE}"]
    if line.kind is LineKind.MOBILE:
        commands[place] += mobile_up(plan, line)
    else:
        commands["probe"] += [
            f"link set {line.device} up",
            f"address add {PROBE_AT_HOME}/24 dev {line.device}",
            f"route add default via {HOME_ROUTER} dev {line.device} metric {_metric(plan, line)}",
        ]
        commands["home"] += [
            "link set lan0 up",
            f"address add {HOME_ROUTER}/24 dev lan0",
            f"address add {subnet}.2/24 dev {device}",
            f"route add default via {subnet}.1 dev {device}",
        ]
    access = f"ac-{line.id}"
    commands[line.operator] += [
        f"link set {access} up txqueuelen {_TUN_QUEUE}",
        f"address add {subnet}.1/24 dev {access}",
    ]
    networks = [f"{subnet}.0/24"]
    if line.kind is LineKind.FIXED:
        commands[line.operator].append(f"route add {HOME_NETWORK} via {subnet}.2 dev {access}")
        networks.append(HOME_NETWORK)
    commands["exchange"].append(f"link set {line.operator} up")
    commands["exchange"] += [
        f"route add {network} dev {line.operator} {_via(plan, line.operator)}"
        for network in networks
    ]


def _wire_edge(center: str, place: str, subnet: str, commands: dict[str, list[str]]) -> None:
    commands[center][1:1] = [f"link set {place} up", f"address add {subnet}.1/24 dev {place}"]
    commands[place] += [
        "link set up0 up",
        f"address add {subnet}.2/24 dev up0",
        f"route add default via {subnet}.1",
    ]


def _wire_international(plan: CountryPlan, commands: dict[str, list[str]]) -> None:
    for place, device, address in (
        ("exchange", "intl0", "10.2.0.1"),
        ("gateway", "home0", "10.2.0.2"),
    ):
        commands[place] += [
            f"link set {device} up txqueuelen {_TUN_QUEUE}",
            f"address add {address}/24 dev {device}",
        ]
    commands["exchange"] += [
        f"route add {plan.abroad} via 10.2.0.2 dev intl0",
        # What nobody has is silent, as on the internet.
        "route add blackhole default",
    ]
    commands["gateway"] += ["route add default via 10.2.0.1 dev home0"]
    commands["gateway"] += [f"route add blackhole {plan.abroad}"]
    commands["exchange"] += [f"route add {plan.domestic} via 10.0.{len(plan.operator) + 1}.2"]
    for number, edge in enumerate(EDGES, start=1):
        networks = sorted({site.network for site in plan.site if site.place == edge})
        commands["gateway"] += [f"route add {n} via 10.1.{number}.2" for n in networks]


def _outside(line: LinePlan) -> tuple[str, str]:
    """Return where a line's access link begins: in the modem, or behind the home's router."""
    return ("home", "wan0") if line.kind is LineKind.FIXED else ("probe", line.device)


def _fixed(plan: CountryPlan) -> Iterator[LinePlan]:
    return (line for line in plan.line if line.kind is LineKind.FIXED)


def _metric(plan: CountryPlan, line: LinePlan) -> int:
    return 100 * (plan.line.index(line) + 1)


def _via(plan: CountryPlan, operator: str) -> str:
    number = [each.name for each in plan.operator].index(operator) + 1
    return f"via 10.0.{number}.2"
