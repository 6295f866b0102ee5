"""Decide which devices are lines, what each can do, and what is wrong with it.

Pure: facts in, lines out. A line is a device with a default route, or real
hardware that lacks one and then says what it lacks. Whether a line that was
there stays measured is the app's to say. Source: docs/configuration.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from linewatch_agent.lines.facts import DefaultRoute, Device, Facts
from linewatch_agent.lines.ids import LineIds, lasting_name
from linewatch_agent.lines.kinds import kind_of
from linewatch_agent.lines.problems import (
    NO_RESOLVER,
    device_problem,
    missing_device,
    mtu_too_long,
    strict_filter,
)
from linewatch_agent.lines.resolvers import given_resolvers, is_own, resolvers_for
from linewatch_agent.plan.line import Given, Line, Problem
from linewatch_agent.plan.settings import Config, LineConfig


def lines_from(facts: Facts, config: Config, ids: LineIds) -> list[Line]:
    """Return the lines: those of the configuration if it names any, else those found.

    Args:
        facts: what the machine says now.
        config: `line` and `lines` of it are used.
        ids: gives ids to found lines, and remembers new ones.
    Returns:
        In the order of the configuration, or by best metric, unusable ones last.
    """
    if config.line:
        by_name = {device.name: device for device in facts.devices}
        found = [(setting, by_name.get(setting.device)) for setting in config.line]
    else:
        candidates = [device for device in facts.devices if _is_candidate(device, facts, config)]
        candidates.sort(key=lambda device: (_best_metric(device.name, facts), device.name))
        found = [(_found_setting(device, ids), device) for device in candidates]
    devices = [device for _, device in found if device is not None]
    return [
        _absent(setting) if device is None else _line(setting, device, devices, facts)
        for setting, device in found
    ]


def _is_candidate(device: Device, facts: Facts, config: Config) -> bool:
    if any(fnmatchcase(device.name, pattern) for pattern in config.lines.ignore):
        return False
    if any(route.device == device.name for route in facts.routes):
        return True
    if device.wireless and not device.carrier:
        return False  # every Pi has Wi-Fi; unused, it is no fault
    return device.hardware and not device.stacked


def _best_metric(name: str, facts: Facts) -> tuple[bool, int]:
    """Return a sort key: devices with a default route first, the preferred one foremost."""
    metrics = [route.metric for route in facts.routes if route.device == name]
    return not metrics, min(metrics, default=0)


def _found_setting(device: Device, ids: LineIds) -> LineConfig:
    kind = kind_of(device)
    return LineConfig(id=ids.id_for(lasting_name(device), kind), device=device.name, kind=kind)


def _absent(setting: LineConfig) -> Line:
    kind = setting.kind or kind_of(Device(setting.device))
    problems = (missing_device(setting.device),)
    return Line(
        id=setting.id,
        kind=kind,
        device=setting.device,
        problems=problems,
        operator=setting.operator,
    )


def _line(setting: LineConfig, device: Device, devices: Sequence[Device], facts: Facts) -> Line:
    routes = sorted(
        (route for route in facts.routes if route.device == device.name),
        key=lambda route: route.metric,
    )
    usable = {each.version for each in device.addresses if is_own(each.ip)}
    families = tuple(sorted(usable & {route.family for route in routes}))
    given = facts.given.get(device.name, Given())
    resolvers = (
        setting.resolvers
        or given_resolvers(given.nameservers, families)
        or resolvers_for(device, devices, families, facts.nameservers)
    )
    line = Line(
        id=setting.id,
        kind=setting.kind or kind_of(device),
        device=device.name,
        families=families,
        gateways=_gateways(setting, routes),
        resolvers=resolvers,
        operator=setting.operator,
    )
    return replace(line, problems=_problems(line, device, devices, facts))


def _gateways(setting: LineConfig, routes: Sequence[DefaultRoute]) -> dict[int, str]:
    gateways: dict[int, str] = {}
    for route in routes:
        if route.gateway is not None:
            gateways.setdefault(route.family, route.gateway)
    if setting.gateway4 is not None:
        gateways[4] = setting.gateway4
    if setting.gateway6 is not None:
        gateways[6] = setting.gateway6
    return gateways


def _problems(
    line: Line, device: Device, devices: Sequence[Device], facts: Facts
) -> tuple[Problem, ...]:
    has_address = any(is_own(each.ip) for each in device.addresses)
    problem = device_problem(
        device, line.kind, has_address=has_address, has_route=bool(line.families)
    )
    if problem is not None:
        return (problem,)
    problems = []
    if device.rp_filter == 1 and 4 in line.families and not _is_preferred(device, devices, facts):
        problems.append(strict_filter(device.name))
    session_mtu = facts.given.get(device.name, Given()).mtu
    if session_mtu is not None and device.mtu > session_mtu:
        problems.append(mtu_too_long(device, session_mtu))
    if not line.resolvers:
        problems.append(NO_RESOLVER)
    return tuple(problems)


def _is_preferred(device: Device, devices: Sequence[Device], facts: Facts) -> bool:
    """Return whether unbound IPv4 traffic would leave by this line.

    Its replies pass a strict reverse path filter; those of every other line don't.
    """
    names = {each.name for each in devices}
    routes = [route for route in facts.routes if route.family == 4 and route.device in names]
    # Of equal metrics the kernel prefers the first in its own list.
    return min(routes, key=lambda route: route.metric).device == device.name
