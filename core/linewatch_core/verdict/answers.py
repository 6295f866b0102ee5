"""What one sample says: was a host asked, over which protocol, and did it answer.

A failed check is evidence; only one that never left the probe, or that found
no address to ask, says nothing of its host.
"""

from enum import StrEnum

from linewatch_core.records import Check, Role, Sample

TIMEOUT = "generic_timeout_error"
REFUSED = "connection_refused"
SILENT_ARP = "host_unreachable"
CONNECT_FAILURES = frozenset({TIMEOUT, REFUSED, "connection_reset", "network_unreachable"}) | {
    SILENT_ARP
}
"""How a SYN ends that gets no handshake."""


class Protocol(StrEnum):
    """What a question travelled by."""

    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"


_HANDSHAKES = (Check.TCP, Check.HTTP)
_PROTOCOLS = {Check.ICMP: Protocol.ICMP, Check.TCP: Protocol.TCP, Check.HTTP: Protocol.TCP}


def protocol_of(sample: Sample, role: Role) -> Protocol | None:
    """Return what asked the target itself, or None if this sample says nothing of it.

    A dns check asks the line's resolver, so it says something of the target only
    where the target is a resolver outside the line.
    """
    if sample.address is None:
        return None
    if sample.check is Check.DNS:
        return Protocol.UDP if role is Role.RESOLVER else None
    return _PROTOCOLS.get(sample.check)


def answered(sample: Sample) -> bool:
    """Return whether the host, or the resolver asked, answered at all.

    An http check that failed after the TCP handshake was answered (its timings go
    on past "dns" and "tcp"), and a DNS error code is an answer. A refused
    connection is not: whoever is on the path can send a RST.
    """
    if sample.failure is None:
        return True
    if sample.check is Check.HTTP:
        return len(sample.timings_us) >= 2
    return sample.check is Check.DNS and sample.detail is not None


def connected(sample: Sample) -> bool | None:
    """Return whether a TCP handshake with the target was completed; None: not tried.

    The neighbour check tries the target itself first, and that is its outcome.
    """
    if sample.check not in (*_HANDSHAKES, Check.NEIGHBOUR) or sample.address is None:
        return None
    if answered(sample):
        return True
    return False if sample.failure in CONNECT_FAILURES else None
