"""Ids of lines that were found: `fixed-1`, `mobile-1`, the same for a device for ever.

A device that goes keeps its id, so that no other line takes it over in the
records. What is remembered is a hash of the device's name, since names can hold
a MAC address. A name that the kernel gave by the order of discovery says nothing after
the next start: of two sticks, which are often alike to the last bit, the port that each
is plugged into counts instead.
"""

import hashlib
import re
from collections.abc import Mapping

from linewatch_agent.lines.facts import Device
from linewatch_core.records import LineKind

_IN_ORDER = re.compile(r"(eth|usb|wwan|wlan)[0-9]+")


def lasting_name(device: Device) -> str:
    """Return what to know a device by: its name, or its USB port where that says more."""
    if device.usb_port and _IN_ORDER.fullmatch(device.name):
        return f"usb:{device.usb_port}"
    return device.name


class LineIds:
    """The ids given so far; a mutable map from device hash to id.

    `known` is what the store gives back at start-up and takes when it changed.
    """

    __slots__ = ("known",)

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self.known: dict[str, str] = dict(known or {})

    def id_for(self, device: str, kind: LineKind) -> str:
        """Return the device's id, giving it the next free number of its kind if it is new.

        The kind is part of what is remembered: a modem that later takes the name of
        an Ethernet adapter is another line.
        """
        key = device_hash(device, kind)
        if key not in self.known:
            self.known[key] = f"{kind.value}-{self._next_number(kind)}"
        return self.known[key]

    def _next_number(self, kind: LineKind) -> int:
        given = [each.rpartition("-") for each in self.known.values()]
        numbers = [int(n) for name, _, n in given if name == kind.value and n.isdecimal()]
        return max(numbers, default=0) + 1


def device_hash(device: str, kind: LineKind) -> str:
    """Return the first 8 hexadecimal digits of the SHA-256 of kind and device name."""
    return hashlib.sha256(f"{kind.value}:{device}".encode()).hexdigest()[:8]
