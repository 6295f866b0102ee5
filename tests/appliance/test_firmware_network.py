"""Profiles, names of devices and routes of firmware-config, by the programs that read them.

Two sticks with one MAC address and one network get a route each in a booted root, from a
DHCP server each in a namespace that leads nowhere.
"""

import configparser
import subprocess
from pathlib import Path

import pytest

from linewatch_agent.plan.card import Sim
from linewatch_agent.plan.sim_profile import profiles
from tests.appliance.layers import layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.router import router
from tests.appliance.test_firmware import FIRMWARE, apply
from tests.support.netns import namespaces

SIMS = (
    Sim(apn="internet", user="a user", password=r"  b\c;d#e", pin="0123"),
    Sim(operator="40177"),
)
WRITTEN = {path.name: path.read_text() for path in (FIRMWARE / "networkmanager").glob("*.nm*")}
PROFILES = {**WRITTEN, **profiles(SIMS)}


def _keys(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
    parser.read_string(text)
    return {(part, key): value for part in parser for key, value in parser[part].items()}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_networkmanager_knows_every_key(name: str) -> None:
    """What nmcli reads of a profile, it writes again with the same values: no key is unknown."""
    with layer() as root:
        root.put("/srv/profile", PROFILES[name])
        again = in_layer(
            root, "sh", "-ec", "nmcli --offline con modify connection.zone '' </srv/profile"
        )
    assert _keys(PROFILES[name]).items() <= _keys(again).items()


def test_sims_come_through_whole() -> None:
    """Blanks, backslashes and signs of a SIM card's password mean the same to NetworkManager."""
    name = "linewatch-sim-1.nmconnection"
    with layer() as root:
        root.put(f"/etc/NetworkManager/system-connections/{name}", PROFILES[name], mode=0o600)
        with booted(root) as machine:
            machine.wait_until(lambda: "sim-1" in machine.run("nmcli", "con"), "it is loaded")
            fields = ("gsm.username", "gsm.password", "gsm.pin", "gsm.apn", "gsm.home-only")
            shown = machine.run(
                "nmcli",
                "-s",
                "-t",
                "-e",
                "no",
                "-f",
                ",".join(fields),
                "con",
                "show",
                "linewatch-sim-1",
            )
    found = dict(line.split(":", 1) for line in shown.splitlines())
    assert list(found.values()) == ["a user", r"  b\c;d#e", "0123", "internet", "yes"]


def test_networkmanagers_settings() -> None:
    """NetworkManager reads our file and asks no server whether it is online."""
    with layer() as root:
        root.copy(
            FIRMWARE / "networkmanager/99-linewatch.conf",
            "/etc/NetworkManager/conf.d/99-linewatch.conf",
        )
        said = in_layer(root, "NetworkManager", "--print-config")
    assert "[connectivity]\nenabled=false" in said
    assert "level=WARN" in said


def _link_file(device: str, *, rule: str) -> str:
    """Return what udev says of a device that is named by our rules, changed as `rule` says.

    The device is virtual, so a match for USB is taken out of the file to be tested.
    """
    with layer() as root, namespaces("usb") as [netns]:
        root.put("/etc/systemd/network/70-linewatch-usb.link", rule)
        netns.run("ip", "link", "add", device, "type", "veth", "peer", "name", "other0")
        script = (
            f"mount -t sysfs sysfs {root.path}/sys; mount -t proc proc {root.path}/proc;"
            f" exec chroot {root.path} udevadm test --action=add /sys/class/net/{device}"
        )
        command = netns.inside("unshare", "--mount", "sh", "-ec", script)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_link_file_is_understood() -> None:
    """udev reads each line of it; what is not on USB keeps its name."""
    text = (FIRMWARE / "etc/70-linewatch-usb.link").read_text()
    said = _link_file("lwtest0", rule=text)
    assert 'Parsed configuration file "/etc/systemd/network/70-linewatch-usb.link"' in said
    assert "Unknown" not in said
    assert "Failed to parse" not in said
    assert "Unknown key" in _link_file("lwtest0", rule=text.replace("NamePolicy", "NamesPolicy"))
    assert "ID_NET_LINK_FILE=/etc/systemd/network/70-linewatch-usb.link" not in said


def test_the_link_file_names_what_it_matches() -> None:
    """Without the match for USB it is the one that is taken, before the system's own."""
    text = (FIRMWARE / "etc/70-linewatch-usb.link").read_text()
    said = _link_file("lwtest0", rule=text.replace("Path=*-usb-*\n", ""))
    assert "ID_NET_LINK_FILE=/etc/systemd/network/70-linewatch-usb.link" in said
    said = _link_file(
        "lwtest0", rule=text.replace("Path=*-usb-*", "").replace("!smsc95xx", "!veth")
    )
    assert "ID_NET_LINK_FILE=/etc/systemd/network/70-linewatch-usb.link" not in said


def _default_routes(machine: Machine) -> dict[str, int]:
    """Return device to metric of the IPv4 default routes of the main table."""
    rows = [row.split() for row in machine.run("ip", "-4", "route", "show", "default").splitlines()]
    return {row[row.index("dev") + 1]: int(row[row.index("metric") + 1]) for row in rows}


def test_every_route() -> None:
    """The port and two equal sticks: three default routes in one table, the port's first."""
    mac = "02:1e:10:1f:00:00"
    with layer() as root, namespaces("home", "stick1", "stick2") as (home, one, two):
        root.put("/etc/cloud/cloud-init.disabled", "")
        assert apply("--root", root.path).returncode == 0
        with booted(root) as machine:
            machine.plug("eth0", home.name, "peer0")
            machine.plug("enu1u1", one.name, "peer0", mac=mac)
            machine.plug("enu1u2", two.name, "peer0", mac=mac)
            with (
                router(home, "peer0", "192.168.1"),
                router(one, "peer0", "192.168.8"),
                router(two, "peer0", "192.168.8"),
            ):
                wanted = {"eth0", "enu1u1", "enu1u2"}
                machine.wait_until(
                    lambda: set(_default_routes(machine)) == wanted, "all lines have a route"
                )
                metrics = _default_routes(machine)
                names = machine.run("nmcli", "-t", "-f", "DEVICE,CONNECTION", "device")
    assert metrics["eth0"] == 50
    assert len(set(metrics.values())) == 3
    assert min(metrics.values()) == 50
    assert {"eth0:linewatch-fixed", "enu1u1:linewatch-usb", "enu1u2:linewatch-usb"} <= set(
        names.splitlines()
    )


def test_only_root_reads_profiles() -> None:
    """Profiles can hold passwords: they are files of root's alone."""
    with layer() as root:
        apply("--root", root.path)
        for path in Path(root.path, "etc/NetworkManager/system-connections").iterdir():
            assert path.stat().st_mode & 0o777 == 0o600
            assert not path.is_symlink()
