"""Which drivers and makers of USB devices are modems': tables.

Pure. Shared by who finds lines and by the root helper, which touches nothing else.
Source: the kernel's drivers/net/usb and drivers/usb/serial; usb.ids.
"""

NET_DRIVERS = frozenset(
    (
        *("qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso"),
        *("mhi_net", "mhi_wwan_mbim", "iosm", "mtk_t7xx"),
        *("ipheth", "rndis_host"),
    )
)
"""Drivers of modems' network devices only: USB, PCIe, then those of shared phones and of
some HiLink sticks."""

CONTROL_DRIVERS = frozenset(("option", "qcserial", "sierra", "cdc_wdm", "qmi_wwan_q"))
"""Drivers of the other interfaces of modems."""

GENERIC_DRIVERS = frozenset(("cdc_ether", "cdc_ncm", "cdc_eem"))
"""Drivers of USB Ethernet adapters and of HiLink sticks alike."""

MAKERS = frozenset(
    (
        *("12d1", "19d2", "1bbb", "1c9e", "1e0e", "05c6", "2c7c", "2cb7", "1bc7"),
        *("1199", "0f3d", "0bdb", "1410", "1e2d", "2001", "2dee", "1782"),
        *("04e8", "18d1", "22b8", "2717", "2a70"),
    )
)
"""USB vendor ids. Huawei, ZTE, TCL, Longcheer, SIMCom, Qualcomm, Quectel, Fibocom, Telit;
Sierra and AirPrime, Ericsson, Novatel, Thales, D-Link, MeiG, Unisoc; phones: Samsung,
Google, Motorola, Xiaomi, OnePlus."""

STICK_CLASSES = frozenset(("08", "e0"))
"""Interface classes beside the network's that a stick has and an Ethernet adapter has not:
storage (its card slot, its drivers for other systems) and RNDIS."""
