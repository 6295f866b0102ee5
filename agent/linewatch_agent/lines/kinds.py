"""Tell a mobile modem from a fixed line by what the kernel says of a device.

Pure. A guess where the kernel has no word of its own: `kind` in a [[line]] table
overrides it. Source: docs/configuration.md, "Which devices are lines".
"""

from fnmatch import fnmatchcase

from linewatch_agent.lines.facts import Device
from linewatch_agent.plan.usb_modems import GENERIC_DRIVERS, MAKERS, NET_DRIVERS, STICK_CLASSES
from linewatch_core.records import LineKind

_NAMES = ("wwan*", "wwp*", "wwx*", "ppp*", "rmnet*")
"""systemd's prefix for mobile broadband is `ww`; pppd and Qualcomm's have their own."""


def kind_of(device: Device) -> LineKind:
    """Return what sort of line a device is: the kernel's word first, then name, driver, maker.

    A HiLink stick is a router of its own behind a USB network device, so the kernel takes it
    for Ethernet; its maker, or what else is on its USB device, gives it away.
    """
    generic = device.driver in GENERIC_DRIVERS
    mobile = (
        device.kernel_type == "wwan"
        or any(fnmatchcase(device.name, pattern) for pattern in _NAMES)
        or device.driver in NET_DRIVERS
        or (generic and device.usb_vendor in MAKERS)
        or (generic and bool(device.usb_classes & STICK_CLASSES))
    )
    return LineKind.MOBILE if mobile else LineKind.FIXED
