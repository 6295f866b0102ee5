"""What test_two_sticks.py runs inside the probe's namespace: the agent's own parts."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from linewatch_agent.checks import LineChecks
from linewatch_agent.lines import LineIds, find_lines, gather
from linewatch_agent.plan.line import Given, Line
from linewatch_agent.plan.settings import Config
from linewatch_agent.watcher import LineWatcher
from linewatch_core.records import Check, LineChanged, Role
from linewatch_core.targets import Target
from tests.agent.checks.two_line_scenes import HTTP_PORT
from tests.support.fake_usb import FakeUsb

TIMEOUT_S = 3.0
HOST = "198.51.100.7"
TARGET = Target(
    id="peer",
    role=Role.INTERNATIONAL,
    host=HOST,
    checks=(Check.ICMP, Check.TCP, Check.HTTP),
    port=HTTP_PORT,
    url=f"http://{HOST}:{HTTP_PORT}/",
)
NAMED = Target(
    id="named", role=Role.INTERNATIONAL, host="www.example.org", checks=(Check.DNS,), families=(4,)
)
STICK = {"interfaces": ("cdc_ether", "cdc_ether", "usb-storage"), "vendor": "12d1"}


def _found(usb: str, given: dict[str, Given]) -> list[Line]:
    gather._SYS_NET = Path(usb) / "sys/class/net"
    return find_lines(Config(), LineIds(), given)


async def lines(usb: str) -> Any:
    """Return the lines found, with sysfs as `usb` has it."""
    return msgspec.to_builtins(_found(usb, {}), str_keys=True)


async def measure(usb: str, gateway: str, pings: dict[str, int], names: int) -> Any:
    """Check over each line: so many pings, one handshake, one page, so many look-ups."""
    found = _found(usb, {each: Given((gateway,)) for each in pings})
    said: dict[str, list[Any]] = {}
    for line in found:
        checks = LineChecks(line)
        try:
            outcomes = [
                await checks.run(Check.ICMP, TARGET, 4, timeout_s=TIMEOUT_S)
                for _ in range(pings[line.device])
            ]
            outcomes += [
                await checks.run(check, TARGET, 4, timeout_s=TIMEOUT_S)
                for check in (Check.TCP, Check.HTTP)
            ]
            outcomes += [
                await checks.run(Check.DNS, NAMED, 4, timeout_s=TIMEOUT_S) for _ in range(names)
            ]
        finally:
            await checks.close()
        said[line.id] = [[each.failure, msgspec.to_builtins(each.detail)] for each in outcomes]
    return said


async def plug_and_unplug(state: str, usb: str) -> Any:
    """Watch while the first stick is pulled out and put back, under another name.

    Returns what was told at each of three looks, as [line, usable, problems]; and the
    devices by line at the end.
    """
    gather._SYS_NET = Path(usb) / "sys/class/net"
    machine = FakeUsb(Path(usb), Path(usb))
    told: list[LineChanged] = []

    async def ignore(_: Sequence[Line]) -> None:
        """Take the lines, as the rounds would."""

    watcher = LineWatcher(Config(), Path(state), on_lines=ignore, on_change=told.append)
    steps: list[list[Any]] = []

    async def look() -> None:
        told.clear()
        await watcher.look()
        steps.append([[one.line, one.usable, list(one.problems)] for one in told])

    await look()
    _ip("link del usb0")
    machine.unplug("1-1.2")
    await look()
    _ip("link add usb5 type veth peer name beyond5")
    machine.plug("1-1.2", device="usb5", **STICK)  # type: ignore[arg-type]
    _ip("link set beyond5 up")
    _ip("link set usb5 up")
    _ip("address add 192.168.8.100/24 dev usb5")
    _ip("route add default via 192.168.8.1 dev usb5 metric 690")
    await look()
    return [steps, {line.id: line.device for line in watcher.lines}]


async def started(state: str, usb: str) -> dict[str, str]:
    """Start the watcher, look once, and return the devices by line."""
    gather._SYS_NET = Path(usb) / "sys/class/net"

    async def ignore(_: Sequence[Line]) -> None:
        """Take the lines, as the rounds would."""

    watcher = LineWatcher(Config(), Path(state), on_lines=ignore, on_change=lambda _: None)
    await watcher.look()
    return {line.id: line.device for line in watcher.lines}


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)
