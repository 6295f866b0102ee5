"""What a target set lacks to carry a verdict, in sentences for the one who writes it.

Pure. A set that lacks something is still right: sets add up, and this looks at one.
Source: docs/targets.md, "What makes a good set".
"""

from collections.abc import Collection, Iterator

import msgspec

from linewatch_agent.plan.target_words import address_version
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target, TargetSet
from linewatch_core.verdict.target_evidence import network_of

DOMESTIC_HOSTS_MIN, DOMESTIC_NETWORKS_MIN = 5, 3
INTERNATIONAL_HOSTS_MIN, INTERNATIONAL_NETWORKS_MIN = 6, 4
INTERNATIONAL_PROTOCOLS_MIN = 2
PORTALS_MIN = 2

_ANCHORS = {
    Role.DOMESTIC: (DOMESTIC_HOSTS_MIN, DOMESTIC_NETWORKS_MIN),
    Role.INTERNATIONAL: (INTERNATIONAL_HOSTS_MIN, INTERNATIONAL_NETWORKS_MIN),
}
_PROTOCOL = {Check.ICMP: "ICMP", Check.TCP: "TCP", Check.HTTP: "TCP", Check.DNS: "UDP"}


def set_advice(found: TargetSet) -> Iterator[str]:
    """Yield what a verdict that rests on this set alone would miss, one sentence each.

    How many networks hosts lie in can't be told from their names: see `unchecked`.
    """
    if not found.source.strip():
        yield "it doesn't say where its hosts come from (source)"
    found = msgspec.structs.replace(found, target=tuple(filter(_tells_up, found.target)))
    for role, (hosts_min, networks_min) in _ANCHORS.items():
        yield from _few(found, role, hosts_min, f"at least {networks_min} networks")
        names, networks = _spread(_of(found, role))
        if networks and not names and networks < networks_min:
            told = "one network" if networks == 1 else f"{networks} networks"
            yield f"its {role} hosts lie in {told}: a verdict needs {networks_min}"
    abroad = _of(found, Role.INTERNATIONAL)
    protocols = {_PROTOCOL.get(check) for each in abroad for check in each.checks} - {None}
    if abroad and len(protocols) < INTERNATIONAL_PROTOCOLS_MIN:
        yield "its international targets use one protocol: add tcp or icmp to some"
    if len(_hosts(_of(found, Role.PORTAL))) == 1:
        yield f"one portal check alone proves nothing: a verdict needs {PORTALS_MIN} vendors"
    slow = [each.id for role in (Role.DOMESTIC, Role.INTERNATIONAL) for each in _slow(found, role)]
    if slow:
        yield f"{slow[0]} isn't measured in every round: an onset is dated less well"


def unchecked(found: TargetSet) -> Iterator[str]:
    """Yield what can't be told from the file alone, though a verdict needs it."""
    anchors = tuple(filter(_tells_up, found.target))
    for role, (_, networks_min) in _ANCHORS.items():
        mine = [target for target in anchors if target.role is role]
        names, networks = _spread(mine)
        if names and networks < networks_min:
            noun = "host is a name" if names == 1 else "hosts are names"
            yield (
                f"{names} {role} {noun}: whether the {role} hosts lie in at least "
                f"{networks_min} networks, look up from where the probe will be"
            )


def _spread(targets: Collection[Target]) -> tuple[int, int]:
    """Return how many hosts are names, and in how many networks (/24, /48) the others lie.

    IPv6 twins are the same hosts again: the family with more networks counts.
    """
    hosts = _hosts(targets)
    versions = {host: address_version(host) for host in hosts}
    networks = [
        len({network_of(host) for host in hosts if versions[host] == version}) for version in (4, 6)
    ]
    return sum(version is None for version in versions.values()), max(networks)


def _tells_up(target: Target) -> bool:
    """Return whether a target counts among those that are up or dead (or is a portal check)."""
    return target.role is Role.PORTAL or any(check in _PROTOCOL for check in target.checks)


def _few(found: TargetSet, role: Role, least: int, networks: str) -> Iterator[str]:
    count = len(_hosts(_of(found, role)))
    if 0 < count < least:
        noun = "host" if count == 1 else "hosts"
        yield f"{count} {role} {noun}: a verdict needs {least} in {networks}"


def _of(found: TargetSet, role: Role) -> list[Target]:
    return [target for target in found.target if target.role is role]


def _slow(found: TargetSet, role: Role) -> list[Target]:
    return [target for target in _of(found, role) if target.every > 1]


def _hosts(targets: Collection[Target]) -> set[str]:
    return {target.host for target in targets}
