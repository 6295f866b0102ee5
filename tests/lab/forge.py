"""What a middlebox puts on a line itself: resets, pages, DNS answers, a false time.

Pure: from the packet that provoked it to the bytes of the forgery, which claim
to come from the packet's own target.
"""

import struct

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.lab.packets import ACK, FIN, PSH, RST, UDP, Packet, tcp_packet, udp_packet

BOGON = bytes((10, 10, 34, 36))
"""What Iran's injected answers have carried for years (Aryan et al., FOCI 2013: 10.10.34.x)."""
BLOCK_PAGE_BODY = b"<html><title>Access denied</title>This resource is restricted.</html>"
_ANSWER_TTL_S = 60


def reset(packet: Packet) -> bytes:
    """Return a reset to whoever sent `packet`, as if its target had sent it."""
    after = packet.seq + len(packet.payload)
    return tcp_packet(*_reversed(packet), seq=packet.ack, ack=after, flags=RST | ACK)


def reset_onward(packet: Packet) -> bytes:
    """Return a reset to the target of `packet`, so that it forgets the connection."""
    here = (packet.source, packet.source_port)
    there = (packet.target, packet.target_port)
    return tcp_packet(here, there, seq=packet.seq, ack=packet.ack, flags=RST | ACK)


def block_page(packet: Packet) -> bytes:
    """Return a 403 with a page and the end of the connection, in one segment."""
    head = (
        f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(BLOCK_PAGE_BODY)}\r\nConnection: close\r\n\r\n"
    )
    return tcp_packet(
        *_reversed(packet),
        seq=packet.ack,
        ack=packet.seq + len(packet.payload),
        flags=PSH | ACK | FIN,
        payload=head.encode() + BLOCK_PAGE_BODY,
    )


def asked_name(packet: Packet) -> str | None:
    """Return the name that a DNS query asks for, lower case, no last dot; or None."""
    try:
        query = dns.message.from_wire(packet.payload)
    except dns.exception.DNSException:
        return None
    return str(query.question[0].name).rstrip(".").lower() if query.question else None


def dns_answer(packet: Packet, address: bytes | None) -> bytes:
    """Return an answer to the query in `packet`: an address (for A), or NXDOMAIN for None."""
    query = dns.message.from_wire(packet.payload)
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    question = query.question[0]
    if address is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == 1:
        text = ".".join(map(str, address))
        reply.answer.append(dns.rrset.from_text(question.name, _ANSWER_TTL_S, "IN", "A", text))
    return udp_packet(*_reversed(packet), reply.to_wire())


def shifted_ntp(packet: Packet, offset_s: float) -> bytes:
    """Return an NTP reply whose server times (not the client's own) are `offset_s` off."""
    if packet.proto != UDP or len(packet.payload) < 48:
        return packet.raw
    payload = bytearray(packet.payload)
    for at in (16, 32, 40):  # reference, receive, transmit (RFC 5905 figure 8)
        (stamp,) = struct.unpack_from("!Q", payload, at)
        shifted = (stamp + round(offset_s * 2**32)) % 2**64
        struct.pack_into("!Q", payload, at, shifted)
    here = (packet.source, packet.source_port)
    return udp_packet(here, (packet.target, packet.target_port), bytes(payload))


def _reversed(packet: Packet) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    return (packet.target, packet.target_port), (packet.source, packet.source_port)
