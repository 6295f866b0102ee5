"""Echo packets and queued errors, as bytes: no socket, no clock.

icmplib builds and parses; it is used as a codec only, with no socket of its
own, since its pingers bind to no device and read the wall clock. A datagram
ICMP socket hands over no IP header, which is what icmplib's unprivileged mode
expects. Source: RFC 792, RFC 4443; ip(7) IP_RECVERR.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Any

import icmplib

from linewatch_agent.checks.stamps import Ancillary

NONCE_BYTES = 8
PAYLOAD_BYTES = 56
"""The payload of ping(8), so that our echoes look like anyone's."""
ECHO_BYTES = 8 + PAYLOAD_BYTES
_ICMP_HEADER_BYTES = 8

RECVERR = {
    4: (socket.IPPROTO_IP, 11),
    6: (socket.IPPROTO_IPV6, 25),
}
"""(level, option) of IP_RECVERR and IPV6_RECVERR; Python's socket module lacks the first."""

_ECHO_REPLY = {4: 0, 6: 129}


class _Codec4(icmplib.ICMPv4Socket):  # type: ignore[misc]
    """icmplib's IPv4 packet layer without a socket."""

    def _create_socket(self, *_: object) -> None:
        return None


class _Codec6(icmplib.ICMPv6Socket):  # type: ignore[misc]
    """icmplib's IPv6 packet layer without a socket."""

    def _create_socket(self, *_: object) -> None:
        return None


_CODECS: dict[int, Any] = {4: _Codec4(privileged=False), 6: _Codec6(privileged=False)}


@dataclass(frozen=True, slots=True)
class Echo:
    """What identifies an echo: the sequence number and our own nonce.

    `nonce` is shorter than 8 bytes (down to none) where an error quotes less of
    our packet than that; RFC 792 obliges a router to quote the header only.
    """

    sequence: int
    nonce: bytes


def echo_request(family: int, sequence: int, nonce: bytes) -> bytes:
    """Return an echo request of ping's size; the kernel fills in identifier and checksum."""
    payload = nonce + bytes(range(NONCE_BYTES, PAYLOAD_BYTES))
    packet: bytes = _CODECS[family]._create_packet(id=0, sequence=sequence, payload=payload)
    return packet


def parse_echo_reply(family: int, packet: bytes) -> Echo | None:
    """Return the echo that any bytes answer, or None if they are no echo reply."""
    if len(packet) < _ICMP_HEADER_BYTES + NONCE_BYTES or packet[0] != _ECHO_REPLY[family]:
        return None
    reply = _CODECS[family]._parse_reply(packet=packet, source="", current_time=0.0)
    if reply is None:
        return None
    return Echo(reply.sequence, packet[_ICMP_HEADER_BYTES:][:NONCE_BYTES])


def parse_queued_error(family: int, quoted: bytes, ancillary: Ancillary) -> tuple[Echo, int] | None:
    """Return the echo that an error from the error queue is about, and its errno.

    `quoted` is what the error quotes of our request, from the ICMP header on.
    None for anything that is not such an error.
    """
    if len(quoted) < _ICMP_HEADER_BYTES:
        return None
    for level, option, data in ancillary:
        if (level, option) == RECVERR[family] and len(data) >= 4:
            (number,) = struct.unpack_from("=I", data)
            (sequence,) = struct.unpack_from("!H", quoted, 6)
            return Echo(sequence, quoted[_ICMP_HEADER_BYTES:][:NONCE_BYTES]), number
    return None
