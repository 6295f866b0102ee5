"""What this machine says of its network, as values: what lines are decided from.

`gather.py` reads them, `decide.py` judges them; neither needs the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from linewatch_agent.plan.line import Given

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A default route of the main table; `gateway` is None where there is no next hop."""

    device: str
    family: int
    gateway: str | None
    metric: int


@dataclass(frozen=True, slots=True)
class Device:
    """One network device.

    Attributes:
        name: the kernel's name.
        addresses: all of them, with their networks.
        up: set up by an administrator (IFF_UP).
        carrier: has a link (IFF_RUNNING).
        hardware: a real device stands behind it.
        stacked: another device (bridge, bond, VLAN) stands on it and has the addresses.
        wireless: a Wi-Fi device.
        kernel_type: the kernel's word for its sort (DEVTYPE), such as `wwan`; or "".
        driver: the driver's name, or "".
        usb_vendor: the USB vendor id as four hexadecimal digits, or "".
        usb_classes: the classes of all interfaces of its USB device, two digits each.
        usb_port: where it hangs: host controller, ports and interface; or "". The same for
            whatever is plugged in there, whatever name the kernel gives it.
        mtu: the longest packet that the kernel sends on it, in bytes; 0: not known.
        rp_filter: the reverse path filter in effect: 0 off, 1 strict, 2 loose.
    """

    name: str
    addresses: tuple[Interface, ...] = ()
    up: bool = True
    carrier: bool = True
    hardware: bool = False
    stacked: bool = False
    wireless: bool = False
    kernel_type: str = ""
    driver: str = ""
    usb_vendor: str = ""
    usb_classes: frozenset[str] = frozenset()
    usb_port: str = ""
    mtu: int = 0
    rp_filter: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """The whole picture at one moment.

    Attributes:
        devices: all but loopback.
        routes: the default routes of both families.
        nameservers: as the resolver's files list them; link-local ones with `%device`.
        ping_groups: first and last group that may open ICMP sockets, or None if unknown.
        groups: the groups of this process.
        given: what the network gave for a device, by its name, as far as anybody tells.
    """

    devices: tuple[Device, ...] = ()
    routes: tuple[DefaultRoute, ...] = ()
    nameservers: tuple[str, ...] = ()
    ping_groups: tuple[int, int] | None = None
    groups: frozenset[int] = frozenset()
    given: Mapping[str, Given] = field(default_factory=dict)
