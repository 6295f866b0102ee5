"""IPv4 packets as a censor reads and forges them: values in, bytes out.

Pure. Reads what decides (addresses, ports, SNI, Host, the name in a DNS
question) and builds what a middlebox injects. Bytes that are not what they
seem give None, never an exception, since anything may come off a line.
Source: RFC 791, 768, 9293, 1035, 8446 (section 4.1.2), 6066 (section 3).
"""

import struct
from typing import NamedTuple

ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_TTL = 60


class Packet(NamedTuple):
    """One IPv4 packet; addresses are 4 bytes, ports 0 where the protocol has none.

    A tuple, since the relay makes one of every packet and a frozen dataclass takes
    four times as long to make.
    """

    raw: bytes
    proto: int
    source: bytes
    target: bytes
    source_port: int = 0
    target_port: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    payload: bytes = b""


def parse(raw: bytes) -> Packet | None:
    """Return the packet, or None for what is not a whole, unfragmented IPv4 packet."""
    if len(raw) < 20 or raw[0] >> 4 != 4:
        return None
    head = (raw[0] & 15) * 4
    proto, source, target = raw[9], raw[12:16], raw[16:20]
    fragmented = (raw[6] & 0x3F) | raw[7]
    if proto == TCP and len(raw) >= head + 20 and not fragmented:
        port, to_port, seq, ack, size, flags = struct.unpack_from("!HHIIBB", raw, head)
        body = raw[head + (size >> 4) * 4 :]
        return Packet(raw, proto, source, target, port, to_port, seq, ack, flags, body)
    if proto == UDP and len(raw) >= head + 8 and not fragmented:
        source_port, target_port = struct.unpack_from("!HH", raw, head)
        return Packet(raw, proto, source, target, source_port, target_port, payload=raw[head + 8 :])
    return Packet(raw, proto, source, target)


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(source: bytes, target: bytes, proto: int, body: bytes) -> bytes:
    """Return an IPv4 packet around a finished body."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, _TTL, proto, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def tcp_packet(
    source: tuple[bytes, int],
    target: tuple[bytes, int],
    *,
    seq: int,
    ack: int,
    flags: int,
    payload: bytes = b"",
) -> bytes:
    """Return a TCP segment without options, in its IPv4 packet."""
    head = struct.pack(
        "!HHIIBBHHH", source[1], target[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535,
        0, 0,
    )  # fmt: skip
    total = _sealed(source[0], target[0], TCP, head + payload, at=16)
    return ip_packet(source[0], target[0], TCP, total)


def udp_packet(source: tuple[bytes, int], target: tuple[bytes, int], payload: bytes) -> bytes:
    """Return a UDP datagram in its IPv4 packet."""
    head = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0)
    return ip_packet(
        source[0], target[0], UDP, _sealed(source[0], target[0], UDP, head + payload, at=6)
    )


def readdressed(
    packet: Packet,
    *,
    source: tuple[bytes, int] | None = None,
    target: tuple[bytes, int] | None = None,
) -> bytes:
    """Return a TCP or UDP packet with another source or target, checksums made anew."""
    from_ip, from_port = source or (packet.source, packet.source_port)
    to_ip, to_port = target or (packet.target, packet.target_port)
    head = (packet.raw[0] & 15) * 4
    body = struct.pack("!HH", from_port, to_port) + packet.raw[head + 4 :]
    sealed = _sealed(from_ip, to_ip, packet.proto, body, at=16 if packet.proto == TCP else 6)
    top = packet.raw[:10] + b"\0\0" + from_ip + to_ip + packet.raw[20:head]
    return top[:10] + struct.pack("!H", checksum(top)) + top[12:] + sealed


def _sealed(source: bytes, target: bytes, proto: int, body: bytes, *, at: int) -> bytes:
    """Return a TCP or UDP body with its checksum, which stands at offset `at`."""
    body = body[:at] + b"\0\0" + body[at + 2 :]
    pseudo = source + target + struct.pack("!BBH", 0, proto, len(body))
    return body[:at] + struct.pack("!H", checksum(pseudo + body) or 0xFFFF) + body[at + 2 :]


def server_name(data: bytes) -> str | None:
    """Return the SNI of a TLS ClientHello at the start of a stream, or None."""
    if len(data) < 44 or data[0] != 22 or data[5] != 1:
        return None
    try:
        at = 43 + 1 + data[43]  # record 5, handshake 4, version 2, random 32, session id
        at += 2 + struct.unpack_from("!H", data, at)[0]
        at += 1 + data[at]
        end = at + 2 + struct.unpack_from("!H", data, at)[0]
        at += 2
        while at + 4 <= min(end, len(data)):
            kind, size = struct.unpack_from("!HH", data, at)
            if kind == 0:
                (length,) = struct.unpack_from("!H", data, at + 7)
                name = data[at + 9 : at + 9 + length]
                return name.decode("ascii").lower() if len(name) == length else None
            at += 4 + size
    except (struct.error, IndexError, UnicodeDecodeError):
        pass
    return None


def http_host(data: bytes) -> str | None:
    """Return the Host of an HTTP/1 request at the start of a stream, or None."""
    for line in data.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == b"host":
            return value.strip().split(b":")[0].decode("ascii", "replace").lower()
    return None
