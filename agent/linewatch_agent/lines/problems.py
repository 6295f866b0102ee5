"""What can be wrong with a line or with this machine, in words, with the mending command.

Pure. Codes are stored in records and never change their meaning.
"""

from collections.abc import Sequence

from linewatch_agent.lines.facts import Device, Facts
from linewatch_agent.plan.line import Line, Problem
from linewatch_core.records import LineKind

NO_RESOLVER = Problem(
    "no_resolver",
    "This machine names no resolver that this line can ask, so names can't be looked up on it: "
    'give it resolvers = ["..."] in its [[line]] table.',
    fatal=False,
)


def missing_device(name: str) -> Problem:
    """Return the problem of a line whose device is not there."""
    text = f"The configuration names {name}, and there is no such device: plug it in."
    return Problem("no_device", text, "ip -brief link")


def device_problem(
    device: Device, kind: LineKind, *, has_address: bool, has_route: bool
) -> Problem | None:
    """Return the first thing that keeps a device from being a line, or None.

    Each one implies those after it, so only the first is worth telling.
    """
    name = device.name
    if not device.up:
        return Problem("down", f"{name} is switched off.", f"sudo ip link set {name} up")
    if not device.carrier:
        return _no_carrier(name, kind)
    if not has_address:
        text = f"{name} has no address of its own: the router or operator has given it none."
        return Problem("no_address", text, f"sudo nmcli device connect {name}")
    if not has_route:
        text = f"{name} has an address, but no default route leads out over it."
        mend = f"sudo nmcli device modify {name} ipv4.never-default no ipv6.never-default no"
        return Problem("no_route", text, mend)
    return None


def strict_filter(name: str) -> Problem:
    """Return the problem of a line whose replies the kernel's reverse path filter drops."""
    text = f"The kernel drops every IPv4 reply on {name}, because another line is preferred to it."
    return Problem("rp_filter_strict", text, "sudo sysctl -w net.ipv4.conf.all.rp_filter=2")


def mtu_too_long(device: Device, session_mtu: int) -> Problem:
    """Return the problem of a line that sends longer packets than its data session carries."""
    text = (
        f"{device.name} sends packets of up to {device.mtu} bytes, and the operator's data session "
        f"carries {session_mtu}: long ones may be lost."
    )
    mend = f"sudo ip link set {device.name} mtu {session_mtu}"
    return Problem("mtu_too_long", text, mend, fatal=False)


def machine_problems_from(facts: Facts, lines: Sequence[Line]) -> list[Problem]:
    """Return what is wrong with this machine as a whole; none of it keeps it from starting."""
    problems = []
    if not lines:
        text = "No line was found: no device has a default route, and none is real hardware."
        problems.append(Problem("no_lines", text, "ip -brief address", fatal=False))
    if facts.ping_groups is not None:
        first, last = facts.ping_groups
        if not any(first <= group <= last for group in facts.groups):
            text = "The kernel lets this user send no ICMP echo, so every icmp check will fail."
            mend = 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"'
            problems.append(Problem("ping_closed", text, mend, fatal=False))
    return problems


def _no_carrier(name: str, kind: LineKind) -> Problem:
    if kind is LineKind.MOBILE:
        text = f"{name} is not connected: the modem has no data session."
        return Problem("no_carrier", text, f"sudo nmcli device connect {name}")
    return Problem("no_carrier", f"{name} has no link: check the cable and the box at its end.")
