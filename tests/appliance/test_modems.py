"""Modems on a booted probe: who may reset one, and what the real NetworkManager tells.

The helper is started by the real bus through its real unit; only sysfs is a folder, since
the machine's own is the test host's. There is no modem, so what a reset does to one is
tested elsewhere (tests/agent/modem_helper).
"""

import json
from collections.abc import Iterator

import pytest

from tests.appliance.layers import layer
from tests.appliance.machine import Machine, booted
from tests.appliance.release import install_agent
from tests.support.fake_usb import FakeUsb
from tests.support.netns import namespaces

NAME = "org.linewatch.ModemReset1"
CALL = ("busctl", "--system", "call", NAME, "/org/linewatch/ModemReset1", NAME)
UNIT = "linewatch-modem-reset.service"
MACHINE = "/srv/machine"
DROP_IN = f"""[Service]
ExecStart=
ExecStart=/opt/linewatch/current/bin/linewatch-agent modem-helper --root {MACHINE} --idle-s 10
ReadWritePaths={MACHINE}
"""
CONFIG = """
[[line]]
id = "fixed-1"
device = "eth0"
[[line]]
id = "mobile-1"
device = "stick0"
kind = "mobile"
"""
LINES = {
    "eth0": ("192.0.2.10/24", "192.0.2.1", "203.0.113.53"),
    "stick0": ("198.51.100.10/24", "198.51.100.1", "203.0.113.54"),
}


@pytest.fixture(scope="module")
def probe() -> Iterator[Machine]:
    """The installed package, two wired lines, ModemManager, and a modem in a fake sysfs."""
    with layer() as made:
        install_agent(made)
        made.put(f"/etc/systemd/system/{UNIT}.d/test.conf", DROP_IN)
        made.put("/etc/linewatch/linewatch.toml", CONFIG)
        # It starts in no container by itself.
        made.put(
            "/etc/systemd/system/ModemManager.service.d/test.conf",
            "[Unit]\nConditionVirtualization=\n",
        )
        with booted(made) as machine, namespaces("isp") as (isp,):
            usb = FakeUsb.made(machine.seen / MACHINE.lstrip("/"), seen_as=MACHINE)
            usb.plug("1-1", device_class="09", interfaces=("hub",))
            usb.plug("1-1.2", interfaces=("qmi_wwan",))
            usb.plug("1-2.1", interfaces=("qmi_wwan",))
            (usb.root / "usr/sbin").mkdir(parents=True)
            (usb.root / "usr/sbin/uhubctl").symlink_to("/usr/sbin/uhubctl")
            for device, (address, gateway, server) in LINES.items():
                machine.plug(device, isp.name, f"to-{device}")
                isp.run("ip", "link", "set", f"to-{device}", "up")
                machine.run("nmcli", "device", "set", device, "managed", "yes")
                profile = f"con add type ethernet con-name {device} ifname {device}"
                v4 = f"ipv4.method manual ipv4.addresses {address} ipv4.gateway {gateway}"
                machine.run("nmcli", *f"{profile} {v4} ipv4.dns {server}".split())
                machine.run("nmcli", "con", "up", device)
            yield machine


def as_user(machine: Machine, user: str, *command: str) -> str:
    """Return what a command says to a user, output and errors."""
    shell = '"$@" 2>&1'
    return machine.run("runuser", "-u", user, "--", "sh", "-c", shell, "sh", *command, check=False)


def test_the_agent_s_user_may_have_a_modem_reset(probe: Machine) -> None:
    """The bus starts the helper by its unit; what it refuses, it says."""
    assert as_user(probe, "linewatch", *CALL, "Rebind", "s", "1-1.2").strip() == ""
    bind = probe.seen / MACHINE.lstrip("/") / "sys/bus/usb/drivers/usb/bind"
    assert bind.read_text() == "1-1.2"
    assert probe.show(UNIT, "ActiveState")["ActiveState"] == "active"
    for call, why in (
        (("Rebind", "s", "1-1.3"), "cannot find the USB device 1-1.3"),
        (("PowerCycle", "s", "1-2.1"), "there is no hub 1-2"),
        # The real uhubctl, in the unit's sandbox; no such hub is on this machine.
        (("PowerCycle", "s", "1-1.2"), "No compatible devices detected at location 1-1"),
        (("Reboot",), "cannot reboot: modems.reboot is not true"),
    ):
        assert why in as_user(probe, "linewatch", *CALL, *call)


def test_it_is_reached_from_within_the_agent_s_sandbox(probe: Machine) -> None:
    """A user namespace of its own, and no way to any other privilege."""
    sandbox = ("User=linewatch", "PrivateUsers=yes", "NoNewPrivileges=yes", "ProtectSystem=strict")
    options = [word for setting in sandbox for word in ("-p", setting)]
    probe.run("systemd-run", "--wait", "--pipe", *options, *CALL, "Rebind", "s", "1-1.2")


def test_nobody_else_may(probe: Machine) -> None:
    """Not root over the bus either: it needs no bus."""
    for user in ("nobody", "root"):
        said = as_user(probe, user, *CALL, "Rebind", "s", "1-1.2")
        assert "denied" in said.lower()


def test_it_ends_by_itself(probe: Machine) -> None:
    """And is no unit that failed."""
    as_user(probe, "linewatch", *CALL, "Rebind", "s", "1-1.2")

    def ended() -> bool:
        return probe.show(UNIT, "ActiveState")["ActiveState"] == "inactive"

    probe.wait_until(ended, "the helper ends")
    assert probe.show(UNIT, "Result")["Result"] == "success"


def test_each_line_asks_its_own_network_s_name_server(probe: Machine) -> None:
    """As the real NetworkManager tells it to the agent's user; the machine's list is no line's."""
    said = as_user(
        probe,
        "linewatch",
        *("/usr/bin/linewatch-agent", "lines", "--json"),
        *("--config", "/etc/linewatch/linewatch.toml"),
    )
    told = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    servers = {line["device"]: line["resolvers"] for line in told["lines"]}
    assert servers == {device: [server] for device, (_, _, server) in LINES.items()}


def test_the_real_modem_manager_lists_no_modem_and_says_so(probe: Machine) -> None:
    """An empty list is an answer, so that a modem that went can be told from silence."""
    manager = "org.freedesktop.ModemManager1"
    probe.run("systemctl", "start", "ModemManager")
    listing = probe.run(
        *("busctl", "--system", "call", manager, "/org/freedesktop/ModemManager1/Modem"),
        *("org.freedesktop.DBus.Introspectable", "Introspect"),
    )
    assert "<node" in listing
    assert 'node name=\\"' not in listing
