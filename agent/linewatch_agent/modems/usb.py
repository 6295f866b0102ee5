"""Where a network device hangs on USB, by what sysfs says.

The name of a USB device (`1-1.2`) is its bus and the ports on the way to it: the same
for whatever is plugged in there. Source: the kernel's Documentation/ABI/testing/sysfs-bus-usb.
"""

import shutil
from pathlib import Path

SYS = Path("/sys")
_ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def usb_device_of(device: str, sys: Path = SYS) -> str | None:
    """Return the name of the USB device behind a network device; None: it is not on USB."""
    hardware = sys / "class/net" / device / "device"
    if not hardware.exists():
        return None
    here = hardware.resolve()
    # A modem's network device belongs to one of its interfaces; some to the device itself.
    return next((each.name for each in (here, here.parent) if (each / "idVendor").exists()), None)


def is_plugged(usb: str, sys: Path = SYS) -> bool:
    """Return whether a USB device is there."""
    return (sys / "bus/usb/devices" / usb).exists()


def can_switch_power() -> bool:
    """Return whether the program that switches USB ports off and on is installed."""
    return shutil.which("uhubctl", path=_ADMIN_PATH) is not None
