"""The footprint of the installed probe with all that it can have, in real time.

As root: `python -m tests.bench.installed [--minutes 120] [--every 30]`. Boots the package on a
Debian Trixie (tests/appliance) and lets `linewatch-agent measure-footprint` say every so many
minutes what it takes: two lines, the mobile one with a modem on the system's own bus (it is
played), NetworkManager, the default targets, answered by local servers, a real broker and server,
an update to look for over HTTPS, the status page. The state lies on an ext4 of its own, on a
loop device with blocks of 4 KiB, mounted as our package mounts a card's root.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbus_fast.aio import MessageBus

from tests.agent.test_month_bytes import literals, named
from tests.appliance.layers import Layer, layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.release import install_agent
from tests.lab.modems_bus import Manager
from tests.lab.modems_objects import NAME
from tests.support.world import HOME4, ISP4, SERVER, World, behind_a_cable

STATE = "/var/lib/linewatch"
ENROL = ("linewatch-agent", "enrol", "/srv/token.toml")
DISK_BYTES = 512 * 1024 * 1024
LINES = {"eth0": ("10.77.0.100", ISP4), "wwan0": ("10.78.0.100", "10.78.0.1")}
CONFIG = f"""
[[line]]
id = "fixed-1"
device = "eth0"
[[line]]
id = "mobile-1"
device = "wwan0"
kind = "mobile"
[status]
page = "127.0.0.1:8080"
[update]
# Who answers there shows a certificate that the probe refuses; but it has looked.
url = "https://{HOME4}:8883/manifest"
key = "{"a7" * 32}"
"""


@contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """Mount an ext4 of its own on a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch, "image")
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        whole = "lazy_itable_init=0,lazy_journal_init=0"
        done("mkfs.ext4", "-q", "-b", "4096", "-E", whole, str(image))
        device = done("losetup", "--find", "--show", str(image))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            done("mount", "-o", "noatime,lazytime,commit=600", device, str(folder))
            try:
                yield
            finally:
                done("umount", str(folder))
        finally:
            done("losetup", "--detach", device)


def done(*command: str) -> str:
    """Run a command outside, and return what it said."""
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return made.stdout.strip()


def install(made: Layer, home: World) -> None:
    """Install the package in a layer, enrol it, and give it its configuration."""
    install_agent(made)
    in_layer(made, "chown", "linewatch:linewatch", STATE)
    token = home.command(*SERVER, "enrol", home.server, "--label", "bench").stdout
    made.put("/srv/token.toml", token)
    in_layer(made, "runuser", "-u", "linewatch", "--", *ENROL)
    made.put("/etc/linewatch/linewatch.toml", CONFIG)


def plug(machine: Machine, home: World) -> None:
    """Give the machine its lines, and serve what its targets ask for behind both."""
    for device, (address, gateway) in LINES.items():
        machine.plug(device, home.home.name, f"to-{device}")
        home.home.run("ip", "address", "add", f"{gateway}/24", "dev", f"to-{device}")
        machine.run("nmcli", "device", "set", device, "managed", "yes")
        profile = f"con add type ethernet con-name {device} ifname {device} ipv4.method manual"
        v4 = f"ipv4.addresses {address}/24 ipv4.gateway {gateway} ipv4.dns {ISP4}"
        machine.run("nmcli", *profile.split(), *v4.split())
        machine.run("nmcli", "con", "up", device)
    home.home.serve("tests.agent.test_month_bytes:serve")


@contextmanager
def modem(machine: Machine) -> Iterator[None]:
    """Be ModemManager with one modem, on the machine's own system bus."""
    address = f"unix:path={machine.seen}/run/dbus/system_bus_socket"
    loop = asyncio.new_event_loop()

    async def be() -> None:
        bus = await MessageBus(bus_address=address).connect()
        manager = Manager(bus, address)
        await manager.do({"do": "plug", "line": "mobile-1", "device": "wwan0"})
        await manager.do({"do": "set", "line": "mobile-1", "facts": {"mtu": None}})
        await bus.request_name(NAME)

    loop.run_until_complete(be())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> int:
    """Print what the command says, again and again; return what it returned last."""
    parser = argparse.ArgumentParser(description="Measure an installed probe.")
    parser.add_argument("--minutes", type=float, default=120.0, help="in all")
    parser.add_argument("--every", type=float, default=30.0, help="minutes of each measurement")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        layer() as made,
        own_disk(made.path / STATE.lstrip("/")),
        behind_a_cable(Path(folder), *named().values(), *literals()) as home,
    ):
        install(made, home)
        with booted(made) as machine:
            plug(machine, home)
            with modem(machine):
                machine.run("systemctl", "restart", "linewatch-agent")
                measure = f"linewatch-agent measure-footprint --minutes {options.every}"
                ended = "echo; echo ended with $?"
                for _ in range(max(1, int(options.minutes / options.every))):
                    said = machine.run(
                        "sh", "-c", f"{measure}; {ended}", timeout_s=60 * options.every + 120
                    )
                    print(said, flush=True)
                print(machine.run("linewatch-agent", "status"))
    return int(said.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
