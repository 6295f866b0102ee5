"""Each line's own name servers, as NetworkManager got them from that line's network.

The machine keeps one list for all its lines, so this is asked where there are several, and
nowhere else: dbus-fast takes memory. Read one by one (`FIELDS`), kept for a minute. Where
NetworkManager does not run nothing is said, and the machine's list has to do. Source:
NetworkManager's D-Bus interface (1.42 to 1.52).
"""

import asyncio
import os
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import structlog

from linewatch_agent import clock
from linewatch_agent.plan.line import Line
from linewatch_agent.system_bus import BusError, SystemBus, has_bus, system_bus

log = structlog.get_logger()

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
LOOK_S = 2.0
"""How long it may take at most: the look for lines waits for it."""
FRESH_S = 60.0
"""A lease's name servers seldom change while its address stays."""

_FOLDER = Path("/run/NetworkManager")
_DEVICE, _IP4, _IP6 = f"{NAME}.Device", f"{NAME}.IP4Config", f"{NAME}.IP6Config"
FIELDS = frozenset(
    (
        (_DEVICE, "Ip4Config"),
        (_DEVICE, "Ip6Config"),
        (_IP4, "NameserverData"),
        (_IP6, "Nameservers"),
    )
)
"""(interface, property): all that is ever read."""


class NameServers:
    """Asks NetworkManager, and remembers what it said."""

    def __init__(self, *, limit_s: float = LOOK_S) -> None:
        """Prepare; nothing is imported or asked yet."""
        self._limit_s = limit_s
        self._about: object = None
        self._until_s = 0.0
        self._said: dict[str, tuple[str, ...]] = {}
        self._trouble = ""

    async def about(self, lines: Sequence[Line]) -> dict[str, tuple[str, ...]]:
        """Return the name servers of each line's network, by device, where they are told."""
        about = {(line.device, line.families, tuple(line.gateways.values())) for line in lines}
        if len(lines) < 2 or not _may_run():
            return {}
        if about == self._about and clock.mono_s() < self._until_s:
            return self._said
        try:
            async with asyncio.timeout(self._limit_s):
                async with system_bus() as bus:
                    self._said = await _servers(bus, [line.device for line in lines])
            self._note("")
        except TimeoutError:
            # What it said before still holds more likely than the list of all lines.
            self._note("NetworkManager does not answer")
        except BusError as error:
            self._said = {}
            self._note(str(error))
        self._about, self._until_s = about, clock.mono_s() + FRESH_S
        return self._said

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("name_servers_not_read", reason=trouble)
        self._trouble = trouble


def _may_run() -> bool:
    """Return whether it is worth an import: it has its folder, or a bus is named to ask on."""
    return bool(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")) or (_FOLDER.exists() and has_bus())


async def _servers(bus: SystemBus, devices: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if await bus.owner(NAME) is None:
        return {}
    found = await asyncio.gather(*(_of_device(bus, device) for device in devices))
    return {device: servers for device, servers in zip(devices, found, strict=True) if servers}


async def _of_device(bus: SystemBus, device: str) -> tuple[str, ...]:
    answer = await bus.call(NAME, PATH, f"{NAME}.GetDeviceByIpIface", "s", [device])
    if answer is None:
        return ()
    ip4, ip6 = await asyncio.gather(
        _config(bus, answer[0], "Ip4Config", _IP4, "NameserverData"),
        _config(bus, answer[0], "Ip6Config", _IP6, "Nameservers"),
    )
    texts = [entry["address"].value for entry in ip4 if "address" in entry]
    raws = [bytes(entry) for entry in ip6]
    servers = [_address(text) for text in texts] + [_address(raw) for raw in raws]
    return tuple(each for each in servers if each is not None)


async def _config(bus: SystemBus, device: str, of: str, interface: str, name: str) -> Sequence[Any]:
    """Return a list of an IP configuration's; empty where the device has none."""
    path = await _get(bus, device, _DEVICE, of)
    if path in (None, "/"):
        return ()
    return await _get(bus, path, interface, name) or ()


async def _get(bus: SystemBus, path: str, interface: str, name: str) -> Any:
    assert (interface, name) in FIELDS
    return await bus.get(NAME, path, interface, name)


def _address(told: str | bytes) -> str | None:
    """Return an address as text; None for anything else, such as a server's URL."""
    try:
        return str(ip_address(told) if isinstance(told, str) else IPv6Address(told))
    except ValueError:
        return None
