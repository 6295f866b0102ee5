"""Read the facts that lines are decided from: psutil, /proc/net, /proc/sys, /sys.

Nothing is sent and no program is started; a round of reading takes a few
milliseconds, so it can be done every ten seconds. What can't be read is left out.
"""

import os
import re
import socket
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address
from pathlib import Path
from typing import Any

import psutil

from linewatch_agent.lines.facts import Device, Facts, Interface
from linewatch_agent.lines.procnet import (
    parse_ipv6_route,
    parse_nameservers,
    parse_number,
    parse_ping_group_range,
    parse_route,
)

_SYS_NET = Path("/sys/class/net")
_ROOT_HUB = re.compile(r"usb[0-9]+")
_CONF = Path("/proc/sys/net/ipv4/conf")
_RESOLV_CONFS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""In this order: where systemd-resolved runs, /etc/resolv.conf only names its own stub."""


def read_facts() -> Facts:
    """Return what this machine (this network namespace) says now."""
    stats = psutil.net_if_stats()
    addresses = psutil.net_if_addrs()
    strict_all = parse_number(_read(_CONF / "all/rp_filter"))
    devices = tuple(
        replace(
            _device(name, stat.flags.split(","), addresses.get(name, ()), strict_all),
            mtu=stat.mtu,
        )
        for name, stat in sorted(stats.items())
        if "loopback" not in stat.flags.split(",")
    )
    return Facts(
        devices=devices,
        routes=(
            *parse_route(_read(Path("/proc/net/route"))),
            *parse_ipv6_route(_read(Path("/proc/net/ipv6_route"))),
        ),
        nameservers=_nameservers(),
        ping_groups=parse_ping_group_range(_read(Path("/proc/sys/net/ipv4/ping_group_range"))),
        groups=frozenset((os.getegid(), *os.getgroups())),
    )


def _device(name: str, flags: list[str], addresses: Iterable[object], rp_filter_all: int) -> Device:
    folder = _SYS_NET / name
    hardware = folder / "device"
    return Device(
        name=name,
        addresses=tuple(_interfaces(addresses)),
        up="up" in flags,
        carrier="running" in flags,
        hardware=hardware.exists(),
        stacked=any(folder.glob("upper_*")),
        wireless=(folder / "wireless").exists() or (folder / "phy80211").exists(),
        kernel_type=_kernel_type(_read(folder / "uevent")),
        driver=_link_name(hardware / "driver"),
        **_usb(hardware),
        rp_filter=max(rp_filter_all, parse_number(_read(_CONF / name / "rp_filter"))),
    )


def _usb(hardware: Path) -> dict[str, Any]:
    """Return the facts of a device on USB, as arguments; none if it is on no USB.

    Its path is .../<host controller>/usb1/1-1/1-1.2/1-1.2:1.0; the bus has a number that
    may be another after a start, so the controller's name stands in for it.
    """
    interface = hardware.resolve()
    vendor = _read(interface.parent / "idVendor").strip()
    if not vendor:
        return {}
    bus = next((each for each in interface.parents if _ROOT_HUB.fullmatch(each.name)), None)
    controller = "" if bus is None else bus.parent.name
    classes = (_read(each).strip() for each in interface.parent.glob("*/bInterfaceClass"))
    return {
        "usb_vendor": vendor,
        "usb_classes": frozenset(classes),
        "usb_port": f"{controller}-{interface.name.partition('-')[2]}",
    }


def _interfaces(addresses: Iterable[object]) -> Iterable[Interface]:
    for each in addresses:
        family, address, mask = each.family, each.address, each.netmask  # type: ignore[attr-defined]
        if family == socket.AF_INET:
            yield IPv4Interface(f"{address}/{mask or '255.255.255.255'}")
        elif family == socket.AF_INET6:
            prefix = int(IPv6Address(mask)).bit_count() if mask else 128
            yield IPv6Interface(f"{address.partition('%')[0]}/{prefix}")


def _nameservers() -> tuple[str, ...]:
    for path in _RESOLV_CONFS:
        found = parse_nameservers(_read(path))
        if any(not ip_address(each).is_loopback for each in found):
            return tuple(found)
    return ()


def _kernel_type(uevent: str) -> str:
    lines = (line.partition("=") for line in uevent.splitlines())
    return next((value for key, _, value in lines if key == "DEVTYPE"), "")


def _link_name(path: Path) -> str:
    try:
        return path.readlink().name
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
