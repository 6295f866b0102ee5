"""Tell a mobile modem from a fixed line by what the kernel says of a device.

Pure. A guess where the kernel has no word of its own: `kind` in a [[line]] table
overrides it. Source: docs/configuration.md, "Which devices are lines".
"""

from fnmatch import fnmatchcase

from linewatch_agent.lines.facts import Device
from linewatch_core.records import LineKind

_NAMES = ("wwan*", "wwp*", "wwx*", "ppp*", "rmnet*")
"""systemd's prefix for mobile broadband is `ww`; pppd and Qualcomm's have their own."""

_MODEM_DRIVERS = frozenset(
    (
        *("qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso"),
        *("mhi_net", "mhi_wwan_mbim", "iosm", "mtk_t7xx"),
        *("ipheth", "rndis_host"),
    )
)
"""Drivers of modems only: USB, PCIe, then those of shared phones and some HiLink sticks."""

_GENERIC_DRIVERS = frozenset(("cdc_ether", "cdc_ncm", "cdc_eem"))
"""Drivers of USB Ethernet adapters and of HiLink sticks alike: the maker decides."""

_MODEM_MAKERS = frozenset(
    (
        *("12d1", "19d2", "1bbb", "1c9e", "1e0e", "05c6", "2c7c", "2cb7", "1bc7"),
        *("1199", "0f3d", "0bdb", "1410"),
        *("04e8", "18d1", "22b8", "2717", "2a70"),
    )
)
"""USB vendor ids. Huawei, ZTE, TCL, Longcheer, SIMCom, Qualcomm, Quectel, Fibocom, Telit;
Sierra and AirPrime, Ericsson, Novatel; phones: Samsung, Google, Motorola, Xiaomi, OnePlus."""


def kind_of(device: Device) -> LineKind:
    """Return what sort of line a device is: the kernel's word first, then name, driver, maker."""
    mobile = (
        device.kernel_type == "wwan"
        or any(fnmatchcase(device.name, pattern) for pattern in _NAMES)
        or device.driver in _MODEM_DRIVERS
        or (device.driver in _GENERIC_DRIVERS and device.usb_vendor in _MODEM_MAKERS)
    )
    return LineKind.MOBILE if mobile else LineKind.FIXED
