"""Ids of lines that were found: `fixed-1`, `mobile-1`, the same for a device for ever.

A device that goes keeps its id, so that no other line takes it over in the
records. What is remembered is a hash of the device's name, since names can hold
a MAC address; the store keeps it.
"""

import hashlib
from collections.abc import Mapping

from linewatch_core.records import LineKind


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
