"""A knob as a middlebox needs it, and which packets the plain ones drop.

Pure. What answers, forges or redirects is in censor.py.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network

from tests.lab.knobs import Knob, Spoof
from tests.lab.packets import ICMP, UDP, Packet


class Direction(Enum):
    """Up is from the probe to the world."""

    UP = 0
    DOWN = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """A knob as a middlebox needs it: addresses are 4 bytes.

    Attributes:
        own: addresses of the operator that stay reachable (its resolver).
        portal, block_page: the operator's hosts that people are sent to.
        abroad: the network that is international.
        rate_kbit: read by the shaper, not here.
    """

    knob: Knob
    names: tuple[str, ...] = ()
    addresses: frozenset[bytes] = frozenset()
    ports: frozenset[int] = frozenset()
    mode: Spoof | None = None
    offset_s: float = 0.0
    own: frozenset[bytes] = frozenset()
    portal: bytes = b""
    block_page: bytes = b""
    abroad: str = "0.0.0.0/0"
    rate_kbit: float | None = None
    loss: float = 0.0

    def covers(self, name: str | None) -> bool:
        """Return whether a name is one of the rule's, or below one."""
        if name is None:
            return False
        return any(each in ("*", name) or name.endswith(f".{each}") for each in self.names)


_LATE = {
    # What is cut off gets no forged answer either, so what drops comes first; a throttle
    # lets pass whatever is left, so it comes last.
    Knob.PORTAL: 1,
    Knob.TLS_INTERCEPT: 1,
    Knob.TARPIT: 1,
    Knob.DNS_SPOOF: 1,
    Knob.CDN_ROTATION: 1,
    Knob.SNI_RESET: 1,
    Knob.SNI_DROP: 1,
    Knob.HTTP_BLOCK_PAGE: 1,
    Knob.HTTP_RESET: 1,
    Knob.NTP_LYING: 1,
    Knob.THROTTLE_SNI: 2,
    Knob.THROTTLE_ALL: 3,
}


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules as a middlebox goes through them, whenever each was set."""
    return sorted(rules, key=lambda rule: _LATE.get(rule.knob, 0))


def is_dropped(rule: Rule, packet: Packet, direction: Direction) -> bool:
    """Return whether a rule drops a packet for its addresses, ports or protocol alone."""
    up = direction is Direction.UP
    far = packet.target if up else packet.source
    port = packet.target_port if up else packet.source_port
    match rule.knob:
        case Knob.CUT:
            dropped = True
        case Knob.INTL_CUT:
            dropped = is_within(far, rule.abroad)
        case Knob.ALLOW_LIST:
            dropped = far not in rule.addresses and far not in rule.own
        case Knob.BLACKHOLE:
            dropped = far in rule.addresses
        case Knob.UDP_ONLY:
            dropped = packet.proto != UDP
        case Knob.ICMP_ONLY:
            dropped = packet.proto != ICMP
        case Knob.BROKER_BLOCKED:
            dropped = far in rule.addresses and port in rule.ports
        case Knob.NTP_BLOCKED:
            dropped = packet.proto == UDP and port == 123
        case _:
            dropped = False
    return dropped


def is_within(address: bytes, network: str) -> bool:
    """Return whether a packed IPv4 address is in a network."""
    base, mask = _base_and_mask(network)
    return int.from_bytes(address, "big") & mask == base


@functools.cache
def _base_and_mask(network: str) -> tuple[int, int]:
    found = ip_network(network)
    return int(found.network_address), int(found.netmask)
