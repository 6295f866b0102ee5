"""What the kernel counts of a TCP connection: bytes on the wire, and the handshake's time.

Source: include/uapi/linux/tcp.h for the offsets in struct tcp_info.
"""

import socket
import struct
from dataclasses import dataclass

IP_HEADER_BYTES = {4: 20, 6: 40}
UDP_HEADER_BYTES = 8
TCP_HEADER_BYTES = 32
"""With the timestamp option that Linux always negotiates (RFC 9293, RFC 7323)."""
TCP_SYN_EXTRA_BYTES = 8
"""A SYN carries 40 bytes of header and options on Linux: 8 more than a later segment."""
TCP_CLOSE_SEGMENTS = 2
"""Segments each way after the last look at the counters: FIN and the ACK of the other's."""

_TCP_INFO_BYTES = 232
_TCP_ESTABLISHED = 1


@dataclass(frozen=True, slots=True)
class TcpFacts:
    """What the kernel knows of a TCP connection.

    Attributes:
        rtt_us: its round trip time of the handshake; None if a SYN was sent again
            (the sample would be ambiguous: Karn's algorithm, RFC 6298).
        bytes_out, bytes_in: estimate of the bytes on the wire, headers included and
            with the segments that closing will take.
    """

    rtt_us: int | None
    bytes_out: int
    bytes_in: int


def tcp_facts(sock: socket.socket) -> TcpFacts:
    """Return what the kernel counted on a TCP socket so far.

    Bytes are `segments * (IP + TCP header) + payload`, so TLS records and
    retransmissions are in. What the link layer adds is not.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    info = info.ljust(_TCP_INFO_BYTES, b"\0")
    state = info[0]
    rtt_us, total_retransmits = _u32(info, 68), _u32(info, 100)
    payload_in, payload_out = _u64(info, 128), _u64(info, 200)
    segments_out, segments_in = _u32(info, 136), _u32(info, 140)
    if state == _TCP_ESTABLISHED:
        segments_out += TCP_CLOSE_SEGMENTS
        segments_in += TCP_CLOSE_SEGMENTS
    version = 6 if sock.family is socket.AF_INET6 else 4
    header = IP_HEADER_BYTES[version] + TCP_HEADER_BYTES
    return TcpFacts(
        rtt_us=rtt_us if rtt_us and not total_retransmits else None,
        bytes_out=segments_out * header + payload_out + TCP_SYN_EXTRA_BYTES * bool(segments_out),
        bytes_in=segments_in * header + payload_in + TCP_SYN_EXTRA_BYTES * bool(segments_in),
    )


def _u32(info: bytes, offset: int) -> int:
    return int(struct.unpack_from("=I", info, offset)[0])


def _u64(info: bytes, offset: int) -> int:
    return int(struct.unpack_from("=Q", info, offset)[0])
