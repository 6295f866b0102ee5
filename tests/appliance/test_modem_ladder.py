"""The reset ladder as processes: the installed agent and, by the bus, the root helper.

ModemManager is a stand-in on the machine's own bus, sysfs a folder, and every
wait of the ladder is a 480th of what it is. An outage leads to no step; a modem that hangs
to each in turn, with longer and longer waits, up to the day's last.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dbus_fast.aio import MessageBus

from linewatch_core.modem_words import Bearer, Registration
from tests.appliance.altered import alter
from tests.appliance.layers import Layer
from tests.appliance.machine import Machine, booted
from tests.appliance.test_agent_unit import AGENT, DROP_IN, await_ready, status
from tests.lab.modems_bus import Manager
from tests.lab.modems_objects import NAME
from tests.support.fake_usb import FakeUsb
from tests.support.netns import namespaces

FASTER = 480
USB = "/srv/usb"
ALTERED = f"""
from linewatch_agent.modems import steps, usb
from linewatch_agent.plan import modem_ladder as ladder
for table in (ladder.PATIENCE_S, steps.LIMIT_S):
    for each in table:
        table[each] /= {FASTER}
ladder.BACKOFF_S /= {FASTER}
ladder.BACKOFF_MAX_S /= {FASTER}
ladder.WELL_S /= {FASTER}
# What the helper may need: it really waits for a device to let go, and python starts.
for each in ("USB", "POWER", "REBOOT"):
    steps.LIMIT_S[steps.ModemStep[each]] = 60.0
for look in (usb.usb_device_of, usb.is_plugged):
    look.__defaults__ = (Path("{USB}/sys"),)
"""
UNITS = {
    AGENT: "ExecStart=\nExecStart={agent} run --config /etc/linewatch/linewatch.toml\n",
    "linewatch-modem-reset.service": "ExecStart=\nExecStart=/opt/linewatch/current/bin/"
    f"linewatch-agent modem-helper --root {USB}\nReadWritePaths={USB}\n",
}
CONFIG = """
[schedule]
period_s = 1.0
timeout_s = 0.5
jitter_s = 0
[targets]
sets = []
[[target]]
id = "host"
role = "domestic"
host = "192.0.2.1"
checks = ["icmp"]
[uplink]
enabled = false
[modems]
reboot = true
[[line]]
id = "stick"
device = "wwan0"
kind = "mobile"
"""
WELL = {"bearer": Bearer.UP, "registration": Registration.HOME, "detached": False}
SHUTDOWNS: tuple[dict[str, object], ...] = (
    WELL,
    {**WELL, "bearer": Bearer.REFUSED},
    {"bearer": Bearer.DOWN, "registration": Registration.SEARCHING, "detached": True},
)
"""What a modem says while nothing can be reached: all is well, or it is the network's word."""
CHANGES = {"Reset", "Enable", "Disconnect", "Connect"}
"""The methods of ModemManager that change something."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the ladder: when, in monotonic seconds, which, and whether it was carried out."""

    at_s: float
    name: str
    done: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """A booted probe, its stand-in for ModemManager, and its USB."""

    machine: Machine
    manager: Manager
    usb: FakeUsb

    async def set(self, **facts: object) -> None:
        """Change what the modem says."""
        changes = msgspec.to_builtins(facts)
        await self.manager.do({"do": "set", "line": "stick", "facts": changes})

    async def changed(self) -> list[str]:
        """Return which methods changed the modem since this was asked last."""
        asked: Any = await self.manager.do({"do": "asked"})
        return [method for _, _, method, *_ in asked if method in CHANGES]

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait while the stand-in goes on answering."""
        await asyncio.to_thread(self.machine.wait_until, holds, what, timeout_s=120)

    async def rounds(self, count: int) -> None:
        """Wait for so many further rounds of the agent."""
        began = status(self.machine)["round"]["rounds"]
        await self.wait_until(
            lambda: status(self.machine)["round"]["rounds"] >= began + count, "no rounds are made"
        )

    def is_measured(self) -> bool:
        """Return whether checks are made over the modem's line."""
        return any(each["checks"] for each in status(self.machine)["lines"])

    def answered(self) -> bool:
        """Return whether any check was answered in the last round."""
        return any(each["answered"] for each in status(self.machine)["lines"])

    def steps(self) -> list[Step]:
        """Return the steps that the agent took since the boot."""
        said = self.machine.run("journalctl", "--no-pager", "-o", "short-monotonic", "-u", AGENT)
        found = re.findall(r"\[ *([\d.]+)\].* event=modem_reset .*step=(\w+) (.*)", said)
        return [Step(float(at), name, end == "done") for at, name, end in found]

    def asked(self, program: str) -> list[str]:
        """Return with which arguments a program of the helper's was run."""
        return self.usb.asked(program)


def install(probe: Layer) -> FakeUsb:
    """Put a modem on the probe's USB, and the programs that the helper runs."""
    usb = FakeUsb.made(probe.path / USB.lstrip("/"), seen_as=USB)
    usb.plug("1-1", device_class="09", interfaces=("hub",))
    usb.plug("1-1.2", interfaces=("qmi_wwan",), device="wwan0")
    probe.put(f"{USB}/etc/linewatch/linewatch.toml", CONFIG)
    for program in ("usr/sbin/uhubctl", "usr/bin/systemctl"):
        log = f"{USB}/{Path(program).name}.log"
        probe.put(f"{USB}/{program}", f'#!/bin/sh\necho "$@" >>{log}\n', mode=0o755)
    agent = alter(probe, ALTERED)
    for unit, settings in UNITS.items():
        drop_in = f"[Service]\n{settings.format(agent=agent)}"
        probe.put(DROP_IN.replace(AGENT, unit), drop_in)
    probe.put("/etc/linewatch/linewatch.toml", CONFIG)
    (probe.path / "etc/systemd/system/ModemManager.service").symlink_to("/dev/null")
    return usb


@asynccontextmanager
async def modem_managed(machine: Machine) -> AsyncIterator[Manager]:
    """Be ModemManager on a machine's bus, as root may, with one modem."""
    address = f"unix:path={machine.seen}/run/dbus/system_bus_socket"
    bus = await MessageBus(bus_address=address).connect()
    manager = Manager(bus, address)
    await bus.request_name(NAME)
    await manager.do({"do": "plug", "line": "stick", "device": "wwan0"})
    try:
        yield manager
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


@pytest.fixture
def machine(probe: Layer) -> Iterator[tuple[Machine, FakeUsb]]:
    """A probe whose modem's network leads to nobody who answers."""
    usb = install(probe)
    with booted(probe) as machine, namespaces("isp") as (isp,):
        machine.plug("wwan0", isp.name, "cell")
        machine.run("ip", "address", "add", "192.0.2.2/24", "dev", "wwan0")
        machine.run("ip", "route", "add", "default", "via", "192.0.2.1")
        await_ready(machine)
        yield machine, usb


@pytest.mark.slow
async def test_an_outage_resets_nothing_and_a_hang_climbs_the_ladder(
    machine: tuple[Machine, FakeUsb],
) -> None:
    """All checks fail while the modem is well, or the network is why it is not: nothing is done.

    Then it answers nothing: each step in turn, harder ones by root's helper, each after a longer
    wait, six in a day; and a new start of the agent begins no new day.
    """
    async with modem_managed(machine[0]) as manager:
        probe = Probe(machine[0], manager, machine[1])
        await probe.wait_until(probe.is_measured, "the line is measured")
        for shutdown in SHUTDOWNS:
            await probe.set(**shutdown)
            await probe.rounds(4)
        assert not probe.answered()
        assert (probe.steps(), probe.asked("uhubctl"), probe.usb.written("bind")) == ([], [], None)
        assert not await probe.changed()
        await probe.set(**WELL, hung=True)
        await probe.wait_until(lambda: len(probe.steps()) == 6, "six steps are taken")
        await probe.rounds(3)
        await asyncio.to_thread(probe.machine.run, "systemctl", "restart", AGENT)
        await probe.rounds(12)
        steps = probe.steps()
        # A modem that does not answer can't be asked to reset itself.
        assert [f"{step.name}{'' if step.done else ' in vain'}" for step in steps] == [
            *("reset in vain", "usb", "power", "reboot"),
            *("reset in vain", "usb"),
        ]
        waits_s = [after.at_s - before.at_s for before, after in pairwise(steps)]
        assert all(wait >= 180 * 2**n / FASTER for n, wait in enumerate(waits_s)), waits_s
        assert probe.usb.written("bind") == "1-1.2"
        assert probe.asked("uhubctl") == ["-l 1-1 -p 2 -a cycle -d 5"]
        assert probe.asked("systemctl") == ["reboot"]


@pytest.mark.slow
async def test_a_modem_that_is_lost_is_brought_back(machine: tuple[Machine, FakeUsb]) -> None:
    """ModemManager no longer has it: USB first; once it is back, nothing further is done."""
    async with modem_managed(machine[0]) as manager:
        probe = Probe(machine[0], manager, machine[1])
        await probe.wait_until(probe.is_measured, "the line is measured")
        await probe.rounds(2)
        await probe.set(present=False)
        await probe.wait_until(lambda: bool(probe.steps()), "a step is taken")
        await probe.set(present=True)
        await probe.rounds(12)
        assert [step.name for step in probe.steps()] == ["usb"]
        assert probe.asked("uhubctl") == probe.asked("systemctl") == []
        [line] = status(probe.machine)["lines"]
        assert line["modem"]["reset"]["trouble"] == "gone"


@pytest.mark.slow
async def test_a_session_that_failed_is_made_anew(machine: tuple[Machine, FakeUsb]) -> None:
    """The mild steps only: it answers, so nothing is done to its USB, its power or the machine."""
    async with modem_managed(machine[0]) as manager:
        probe = Probe(machine[0], manager, machine[1])
        await probe.wait_until(probe.is_measured, "the line is measured")
        await probe.rounds(2)
        await probe.set(bearer="down", error="")
        await probe.wait_until(lambda: len(probe.steps()) == 6, "six steps are taken")
        await probe.rounds(12)
        names = [step.name for step in probe.steps()]
        assert names == ["reconnect", "radio", "reset"] * 2
        assert await probe.changed() == [
            *("Disconnect", "Enable", "Enable", "Reset"),
            *("Disconnect", "Enable", "Enable", "Reset"),
        ]
        assert (probe.asked("uhubctl"), probe.usb.written("bind")) == ([], None)
