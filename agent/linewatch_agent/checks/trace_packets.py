"""Path probes and what routers answer, as bytes and values: no socket, no clock.

The invariant of `public_path`: nothing that could tell the host's own network,
street or subscriber address comes out of it. Source: ip(7) IP_RECVERR and
struct sock_extended_err; RFC 1918, RFC 6598, RFC 4193.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from linewatch_agent.checks.icmp_packets import RECVERR
from linewatch_agent.checks.stamps import Ancillary
from linewatch_core.details import Hop

PAYLOAD = bytes(range(64, 96))
"""What traceroute(8) sends, so that ours look like anyone's."""
PORT_BASE = 33_434
"""traceroute's, from its first days; the time to live is added to it."""
ICMP_HEADER_BYTES = 8
"""Of an error, which then quotes our packet: most routers quote it whole."""

_ORIGINS = {4: 2, 6: 3}
"""SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6."""
_OFFENDER = {4: (16, socket.AF_INET, 20, 4), 6: (16, socket.AF_INET6, 24, 16)}
"""Where the offender's sockaddr begins, its family, and where its address is."""
_OWN_PREFIX = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Said:
    """An ICMP error about one of our probes, and who sent it."""

    address: str


def hop_limit(family: int, ttl: int) -> tuple[int, int, bytes]:
    """Return the ancillary message that gives one datagram its time to live."""
    packed = struct.pack("=i", ttl)
    if family == 4:
        return (socket.IPPROTO_IP, socket.IP_TTL, packed)
    return (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, packed)


def parse_error(family: int, ancillary: Ancillary) -> Said | None:
    """Return who sent the ICMP error of the error queue; None for anything else."""
    begins, wanted, place, size = _OFFENDER[family]
    for level, option, data in ancillary:
        if (level, option) != RECVERR[family] or len(data) < place + size:
            continue
        if data[4] != _ORIGINS[family]:
            continue
        if struct.unpack_from("=H", data, begins)[0] != wanted:
            continue
        return Said(str(ipaddress.ip_address(data[place : place + size])))
    return None


def public_path(heard: Iterable[Hop], *, own: str) -> tuple[tuple[Hop, ...], int]:
    """Return the hops that may be stored, and the first time to live of which any may be.

    Left out are: the first hop always; the leading hops that are not globally
    routable; and any hop of the line's own network (a /24 or /48 around `own`) or
    not globally routable, wherever it is.
    """
    ip = ipaddress.ip_address(own.partition("%")[0])
    network = ipaddress.ip_network(f"{ip}/{_OWN_PREFIX[ip.version]}", strict=False)

    def public(hop: Hop) -> bool:
        address = ipaddress.ip_address(hop.address)
        return address.is_global and address not in network

    path = sorted(heard, key=lambda hop: hop.ttl)
    first_ttl = 2
    for hop in path:
        if hop.ttl > 1 and public(hop):
            break
        first_ttl = max(first_ttl, hop.ttl + 1)
    return tuple(hop for hop in path if hop.ttl >= first_ttl and public(hop)), first_ttl
