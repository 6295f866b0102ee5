"""The root helper on a bus with the system bus's rules: who may call, who starts it, its end."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linewatch_agent.modem_helper.service import NAME, PATH
from linewatch_agent.modems.steps import HELPER, HELPER_PATH, Patient, take
from linewatch_core.modem_words import ModemStep
from tests.support.fake_usb import FakeUsb
from tests.support.netns import NOBODY
from tests.support.private_bus import call_as, system_like_bus

FILES = Path(__file__).parents[3] / "systemd/dbus"
STICK = "1-1.2"
DAEMON = 1
"""The uid of a user that is neither root nor the agent's."""
PEER = "org.freedesktop.DBus.Peer.Ping"


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    """A modem on port 2 of a hub."""
    usb = FakeUsb.made(tmp_path / "machine")
    usb.plug("1-1", device_class="09", interfaces=("hub",))
    usb.plug(STICK, interfaces=("qmi_wwan",))
    return usb


@contextmanager
def bus_of(user: str, usb: FakeUsb, folder: Path, *, idle_s: int = 10) -> Iterator[str]:
    """Run a bus with the files that are installed; `user` is the agent's user here.

    The helper ends after `idle_s`: longer than a call takes to come on a busy machine.
    """
    policy, services = folder / f"{NAME}.conf", folder / "services"
    text = (FILES / f"{NAME}.conf").read_text()
    assert text.count('<policy user="linewatch">') == 1
    policy.write_text(text.replace('user="linewatch"', f'user="{user}"'))
    services.mkdir()
    told = dict(
        line.split("=", 1)
        for line in (FILES / f"{NAME}.service").read_text().splitlines()
        if "=" in line
    )
    assert (told["Name"], told["User"]) == (NAME, "root")
    assert told["SystemdService"] == "linewatch-modem-reset.service"
    # Here no systemd starts what its unit would.
    program = (
        f"{sys.executable} -m linewatch_agent modem-helper --root {usb.root} --idle-s {idle_s}"
    )
    service = f"[D-BUS Service]\nName={NAME}\nExec={program}\n"
    (services / f"{NAME}.service").write_text(service)
    with system_like_bus(policies=[policy], services=services) as address:
        yield address


@pytest.fixture
def address(tmp_path: Path, usb: FakeUsb) -> Iterator[str]:
    """A bus where `nobody` is the agent's user."""
    assert os.geteuid() == 0, "who may call is tested as several users: run the tests as root"
    with bus_of("nobody", usb, tmp_path) as address:
        yield address


def test_the_agent_is_served_by_whom_the_bus_starts(usb: FakeUsb, address: str) -> None:
    """Done or refused, with words."""
    assert call_as(NOBODY, address, NAME, PATH, f"{NAME}.Rebind", STICK) == "done"
    assert usb.written("bind") == STICK
    answer = call_as(NOBODY, address, NAME, PATH, f"{NAME}.Rebind", "1-1")
    assert answer == f"{NAME}.Refused: cannot reset 1-1: it is no modem"
    answer = call_as(NOBODY, address, NAME, PATH, f"{NAME}.PowerCycle", STICK)
    assert answer == f"{NAME}.Refused: cannot switch the power: uhubctl is not installed"
    answer = call_as(NOBODY, address, NAME, PATH, f"{NAME}.Reboot")
    assert answer.startswith(f"{NAME}.Refused: cannot reboot: modems.reboot is not true")


def test_nobody_else_may_call(usb: FakeUsb, address: str) -> None:
    """Not even another of the machine's own users; and the agent's user nothing else."""
    denied = "org.freedesktop.DBus.Error.AccessDenied"
    for member in ("Rebind", "PowerCycle"):
        answer = call_as(DAEMON, address, NAME, PATH, f"{NAME}.{member}", STICK)
        assert answer.startswith(denied)
    assert call_as(DAEMON, address, NAME, PATH, f"{NAME}.Reboot").startswith(denied)
    assert call_as(NOBODY, address, NAME, PATH, PEER).startswith(denied)
    assert usb.written("unbind") is None


def test_what_it_does_not_have_is_said(address: str) -> None:
    """A wrong member or wrong arguments."""
    unknown = "org.freedesktop.DBus.Error.UnknownMethod: org.linewatch.ModemReset1 has Rebind(s)"
    for call in (("Rebind",), ("Explode", STICK), ("Reboot", "now"), ("Rebind", STICK, STICK)):
        member, *arguments = call
        answer = call_as(NOBODY, address, NAME, PATH, f"{NAME}.{member}", *arguments)
        assert answer.startswith(unknown)


def test_only_root_can_be_it(address: str) -> None:
    """A user that takes the name would be asked in its place."""
    own = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.RequestName")
    answer = call_as(NOBODY, address, *own, NAME, "u:0")
    assert answer.startswith("org.freedesktop.DBus.Error.AccessDenied")
    assert call_as(0, address, *own, NAME, "u:0") == "done"


def test_it_ends_when_nobody_asks(usb: FakeUsb, tmp_path: Path) -> None:
    """And is started again by the next call."""
    with bus_of("nobody", usb, tmp_path, idle_s=1) as address:
        assert call_as(NOBODY, address, NAME, PATH, f"{NAME}.Rebind", STICK) == "done"
        deadline = time.monotonic() + 120
        dbus = "org.freedesktop.DBus"
        owner = (dbus, "/org/freedesktop/DBus", f"{dbus}.GetNameOwner", NAME)
        while call_as(NOBODY, address, *owner) == "done":
            assert time.monotonic() < deadline, "it did not end"
        assert call_as(NOBODY, address, NAME, PATH, f"{NAME}.Rebind", STICK) == "done"


async def test_the_agent_s_steps_reach_it(
    usb: FakeUsb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words for names and members are those of the helper."""
    assert (HELPER, HELPER_PATH) == (NAME, PATH)
    with bus_of("root", usb, tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        assert await take(ModemStep.USB, Patient("wwan0", STICK))
        assert not await take(ModemStep.POWER, Patient("wwan0", STICK))
        assert not await take(ModemStep.USB, Patient("wwan0", None))
        assert not await take(ModemStep.REBOOT, Patient("wwan0", None))
    assert usb.written("bind") == STICK
