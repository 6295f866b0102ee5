"""A machine's USB as sysfs shows it, in a folder: devices, drivers, disks, and uhubctl.

Writing to `unbind` and `bind` only leaves the text there, as a plain file does; the fake
uhubctl and systemctl write down what they were asked.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

HUAWEI, REALTEK, SAMSUNG = "12d1", "0bda", "04e8"


@dataclass(frozen=True, slots=True)
class FakeUsb:
    """The root folder of a machine, with an empty USB bus 1."""

    root: Path
    seen_as: Path

    @classmethod
    def made(cls, root: Path, *, seen_as: str | None = None) -> "FakeUsb":
        """Make the folders, a root hub `usb1`, and nothing mounted.

        Args:
            seen_as: the path of `root` for whoever is to read it, if that is another one.
        """
        (root / "sys/bus/usb/devices").mkdir(parents=True)
        (root / "sys/bus/usb/drivers/usb").mkdir(parents=True)
        (root / "sys/class/net").mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/mountinfo").write_text("21 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n")
        (root / "proc/swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n")
        (root / "proc/uptime").write_text("90000.00 170000.00\n")
        made = cls(root, root if seen_as is None else Path(seen_as))
        made._device(root / "sys/devices/soc/xhci/usb1", device_class="09")
        return made

    def plug(
        self,
        name: str,
        *,
        vendor: str = HUAWEI,
        device_class: str = "00",
        interfaces: tuple[str, ...] = (),
        classes: tuple[str, ...] = (),
        device: str | None = None,
    ) -> Path:
        """Plug a device in at `name` (`1-1.2`); return its folder.

        Args:
            interfaces: the driver of each interface; "": none is bound.
            classes: bInterfaceClass of each, if it matters.
            device: the name of the network device on the first interface.
        """
        bus, _, ports = name.partition("-")
        folder = self.root / f"sys/devices/soc/xhci/usb{bus}"
        for end in range(1, ports.count(".") + 2):
            folder = folder / f"{bus}-{'.'.join(ports.split('.')[:end])}"
        self._device(folder, vendor=vendor, device_class=device_class)
        for number, driver in enumerate(interfaces):
            interface = folder / f"{name}:1.{number}"
            interface.mkdir()
            if driver:
                (self.root / f"sys/bus/usb/drivers/{driver}").mkdir(exist_ok=True)
                self._link(interface / "driver", self.root / f"sys/bus/usb/drivers/{driver}")
            if number < len(classes):
                (interface / "bInterfaceClass").write_text(f"{classes[number]}\n")
            self._link(self.root / "sys/bus/usb/devices" / interface.name, interface)
        if device is not None:
            net = folder / f"{name}:1.0" / "net" / device
            net.mkdir(parents=True)
            self._link(net / "device", folder / f"{name}:1.0")
            self._link(self.root / "sys/class/net" / device, net)
        return folder

    def unplug(self, name: str) -> None:
        """Take a device away with its interfaces and its network devices."""
        folder = (self.root / "sys/bus/usb/devices" / name).resolve()
        for link in (self.root / "sys/bus/usb/devices").glob(f"{name}*"):
            if link.name == name or link.name.startswith(f"{name}:"):
                link.unlink()
        for link in (self.root / "sys/class/net").iterdir():
            if link.resolve().is_relative_to(folder):
                link.unlink()
        shutil.rmtree(folder)

    def add_disk(self, folder: Path, name: str = "sda", *, mounted: bool = False) -> Path:
        """Put a disk with one partition on a device; return the disk's folder."""
        disk = folder / "host0" / "block" / name
        (disk / f"{name}1").mkdir(parents=True)
        (disk / "dev").write_text("8:0\n")
        (disk / f"{name}1/dev").write_text("8:1\n")
        if mounted:
            with (self.root / "proc/self/mountinfo").open("a") as file:
                file.write("30 21 8:1 / /media rw - vfat /dev/sda1 rw\n")
        return disk

    def install(self, program: str, *, says: str = "", code: int = 0) -> None:
        """Install a program (its path below the root) that writes down its arguments."""
        path = self.root / program
        path.parent.mkdir(parents=True, exist_ok=True)
        log = self.root / f"{path.name}.log"
        path.write_text(f"#!/bin/sh\necho \"$@\" >> {log}\necho '{says}' >&2\nexit {code}\n")
        path.chmod(0o755)

    def asked(self, program: str) -> list[str]:
        """Return with which arguments a program was called."""
        log = self.root / f"{program}.log"
        return log.read_text().splitlines() if log.exists() else []

    def written(self, file: str) -> str | None:
        """Return what stands in a file of the `usb` driver (`bind`); None: nothing ever did."""
        path = self.root / "sys/bus/usb/drivers/usb" / file
        return path.read_text() if path.exists() else None

    def _device(self, folder: Path, *, vendor: str = "1d6b", device_class: str = "00") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "idVendor").write_text(f"{vendor}\n")
        (folder / "bDeviceClass").write_text(f"{device_class}\n")
        driver = folder / "driver"
        if not driver.is_symlink():
            self._link(driver, self.root / "sys/bus/usb/drivers/usb")
        link = self.root / "sys/bus/usb/devices" / folder.name
        if not link.is_symlink():
            self._link(link, folder)

    def _link(self, link: Path, to: Path) -> None:
        link.symlink_to(self.seen_as / to.relative_to(self.root))
