"""What a target set lacks to carry a verdict, in sentences for the one who writes it.

Pure. A set that lacks something is still right: sets add up, and this looks at one.
Source: docs/targets.md, "What makes a good set".
"""

from collections.abc import Collection, Iterator

import msgspec

from linewatch_core.records import Check, Role
from linewatch_core.targets import Target, TargetSet

DOMESTIC_HOSTS_MIN = 5
INTERNATIONAL_HOSTS_MIN = 6
INTERNATIONAL_PROTOCOLS_MIN = 2
PORTALS_MIN = 2

_PROTOCOL = {Check.ICMP: "ICMP", Check.TCP: "TCP", Check.HTTP: "TCP", Check.DNS: "UDP"}


def set_advice(found: TargetSet) -> Iterator[str]:
    """Yield what a verdict that rests on this set alone would miss, one sentence each.

    How many networks the hosts lie in can't be told from their names: it is never said.
    """
    if not found.source.strip():
        yield "it doesn't say where its hosts come from (source)"
    found = msgspec.structs.replace(found, target=tuple(filter(_tells_up, found.target)))
    yield from _few(found, Role.DOMESTIC, DOMESTIC_HOSTS_MIN, "at least 3 networks")
    yield from _few(found, Role.INTERNATIONAL, INTERNATIONAL_HOSTS_MIN, "at least 4 networks")
    abroad = _of(found, Role.INTERNATIONAL)
    protocols = {_PROTOCOL.get(check) for each in abroad for check in each.checks} - {None}
    if abroad and len(protocols) < INTERNATIONAL_PROTOCOLS_MIN:
        yield "its international targets use one protocol: add tcp or icmp to some"
    if len(_hosts(_of(found, Role.PORTAL))) == 1:
        yield f"one portal check alone proves nothing: a verdict needs {PORTALS_MIN} vendors"
    slow = [each.id for role in (Role.DOMESTIC, Role.INTERNATIONAL) for each in _slow(found, role)]
    if slow:
        yield f"{slow[0]} isn't measured in every round: an onset is dated less well"


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
