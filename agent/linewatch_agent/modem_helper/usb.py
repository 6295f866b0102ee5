"""The two steps on USB that need root, each after checking in sysfs that it hits a modem.

Refuses hubs, what is no modem, and whatever a disk in use hangs on: a wrong word over the
bus must not take the card or the keyboard away. Knows no bus. `root` is `/`, or a folder
in tests. Source: the kernel's Documentation/driver-api/usb/power-management.rst, uhubctl(8).
"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from linewatch_agent.plan.usb_modems import CONTROL_DRIVERS, GENERIC_DRIVERS, MAKERS, NET_DRIVERS

_NAME = re.compile(r"([0-9]{1,3})-([0-9]{1,3}(?:\.[0-9]{1,3}){0,6})")
"""Bus and ports (USB allows seven tiers); nothing that could leave a folder."""
_HUB_CLASS = "09"
UNBOUND_S = 2.0
"""How long a device stays without its drivers, so that all of them let go."""
OFF_S = 5
"""How long a port stays without power: capacitors hold a modem up for a second or two."""
_PROGRAM_S = 30.0


class RefusedError(Exception):
    """What was asked is not done; the text says why."""


class UsbModems:
    """The modems on this machine's USB."""

    def __init__(self, root: Path = Path("/"), *, unbound_s: float = UNBOUND_S) -> None:
        """Prepare; nothing is read yet."""
        self._devices = root / "sys/bus/usb/devices"
        self._driver = root / "sys/bus/usb/drivers/usb"
        self._mounts = root / "proc/self/mountinfo"
        self._swaps = root / "proc/swaps"
        self._uhubctl = (root / "usr/sbin/uhubctl", root / "usr/bin/uhubctl")
        self._unbound_s = unbound_s

    def rebind(self, name: str) -> None:
        """Take a modem's USB device from its drivers, and give it back.

        Raises:
            RefusedError: it is no modem here, or a disk in use is on it.
            OSError: the kernel refuses.
        """
        self._check(name)
        if (self._devices / name / "driver").exists():
            (self._driver / "unbind").write_text(name)
            time.sleep(self._unbound_s)
        (self._driver / "bind").write_text(name)

    def power_cycle(self, name: str) -> None:
        """Switch the power of a modem's port off and on; some hubs switch all ports at once.

        Raises:
            RefusedError: it is no modem's port, a disk in use would lose its power, uhubctl
                is not installed, or it can't do it.
        """
        # A modem that fell off the bus is what this is for: then the port is all that is known.
        bus, ports = self._parts(name)
        if (self._devices / name).exists():
            self._check(name)
        upper, _, port = ports.rpartition(".")
        hub = f"{bus}-{upper}" if upper else f"usb{bus}"
        if not (self._devices / hub).exists():
            raise RefusedError(f"cannot switch the power of {name}: there is no hub {hub}")
        self._check_disks(hub)
        program = next((each for each in self._uhubctl if each.exists()), None)
        if program is None:
            raise RefusedError("cannot switch the power: uhubctl is not installed")
        location = hub.removeprefix("usb") if not upper else hub
        cycle = ("-l", location, "-p", port, "-a", "cycle", "-d", str(OFF_S))
        run_program(program, *cycle, to=f"switch the power of {name}")

    def _parts(self, name: str) -> tuple[str, str]:
        match = _NAME.fullmatch(name)
        if match is None:
            raise RefusedError("cannot take that for a USB device: expected a name such as 1-1.2")
        return match[1], match[2]

    def _check(self, name: str) -> None:
        """Refuse what is not there, what is no modem, and what carries a disk in use."""
        self._parts(name)
        device = self._devices / name
        if not device.exists():
            raise RefusedError(f"cannot find the USB device {name}")
        if _read(device / "bDeviceClass") == _HUB_CLASS or not self._is_modem(name):
            raise RefusedError(f"cannot reset {name}: it is no modem")
        self._check_disks(name)

    def _is_modem(self, name: str) -> bool:
        drivers = {
            (interface / "driver").resolve().name
            for interface in self._devices.glob(f"{name}:*")
            if (interface / "driver").exists()
        }
        if drivers & (NET_DRIVERS | CONTROL_DRIVERS):
            return True
        # A generic driver, or none any more after a step that failed: then the maker decides.
        of_maker = _read(self._devices / name / "idVendor") in MAKERS
        return of_maker and (not drivers or bool(drivers & GENERIC_DRIVERS))

    def _check_disks(self, name: str) -> None:
        for disk in _disks_below((self._devices / name).resolve()):
            if self._is_used(disk):
                raise RefusedError(f"cannot reset {name}: the disk {disk.name} on it is in use")

    def _is_used(self, disk: Path) -> bool:
        parts = [disk, *(each.parent for each in disk.glob("*/dev"))]
        numbers = {_read(part / "dev") for part in parts}
        mounted = {line.split()[2] for line in _read(self._mounts).splitlines()}
        names = {part.name for part in parts}
        swaps = {line.split()[0].rpartition("/")[2] for line in _read(self._swaps).splitlines()}
        held = any(any((part / "holders").glob("*")) for part in parts)
        return held or bool(numbers & mounted) or bool(names & swaps)


def run_program(program: Path, *arguments: str, to: str) -> None:
    """Run a program of the machine's.

    Raises:
        RefusedError: it can't be run, takes too long, or says no.
    """
    command = [str(program), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROGRAM_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(f"cannot {to}: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = said[0] if said else f"{program.name} ended with {done.returncode}"
        raise RefusedError(f"cannot {to}: {why}")


def _disks_below(device: Path) -> Iterator[Path]:
    """Yield the block devices of a USB device and of all that hangs on it."""
    for block in device.glob("**/block"):
        yield from block.iterdir()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
