"""DNS on the wire, as little of it as a probe needs: one question, and what answers it.

Pure. Our own, since the library for it (dnspython) takes 6 MB of a probe's memory
and half of a dns check's time; the tests hold it against that library. Records
of other types than the one asked for are stepped over, not read. Any bytes give a
message, None or MalformedError. Source: RFC 1035 section 4, RFC 6891, RFC 7830, RFC 9619.
"""

import functools
import socket
import struct
from dataclasses import dataclass

from linewatch_core.errors import MalformedError

TYPES = {4: 1, 6: 28}
"""A and AAAA, by IP version."""
HEADER_BYTES = 12
_AF = {1: (socket.AF_INET, 4), 28: (socket.AF_INET6, 16)}
_IN, _OPT, _PADDING = 1, 41, 12
_QR, _TC, _RD, _OPCODE = 0x8000, 0x0200, 0x0100, 0x7800
_EDNS_BYTES = 1232
"""What we would take by UDP (DNS flag day 2020)."""
_LABEL_BYTES_MAX, _NAME_BYTES_MAX = 63, 255
_NO_QUESTION = (1, 2, 4, 5)
"""FORMERR, SERVFAIL, NOTIMP, REFUSED: replies that may leave the question out."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question for the addresses of a name: its id, and all of it as bytes."""

    id: int
    type: int
    question: bytes
    wire: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """What a reply says: its code, the addresses asked for in its order, each once."""

    rcode: int
    addresses: tuple[str, ...]
    truncated: bool


def make_query(name: str, family: int, *, id: int, pad_bytes: int = 0) -> Query:
    """Return a query for A (4) or AAAA (6), recursion desired.

    Args:
        id: 0 to 65,535.
        pad_bytes: pad the query to a multiple of this, with EDNS; 0: no EDNS at all.
    Raises:
        MalformedError: no such name can be asked for.
    """
    question = _name_bytes(name) + struct.pack("!HH", TYPES[family], _IN)
    wire = struct.pack("!6H", id, _RD, 1, 0, 0, 1 if pad_bytes else 0) + question
    if pad_bytes:
        padding = bytes(-(len(wire) + 15) % pad_bytes)
        option = struct.pack("!HH", _PADDING, len(padding)) + padding
        wire += b"\0" + struct.pack("!HHIH", _OPT, _EDNS_BYTES, 0, len(option)) + option
    return Query(id, TYPES[family], question, wire)


def read_reply(query: Query, data: bytes) -> Message | None:
    """Return what `data` says in reply to `query`; None if it is no reply to it.

    Raises:
        MalformedError: it is one and can't be read. Bytes after its end don't matter.
    """
    if len(data) < HEADER_BYTES:
        return None
    ident, flags, questions, answers, authorities, additional = struct.unpack_from("!6H", data)
    if ident != query.id or not flags & _QR or flags & _OPCODE:
        return None
    rcode = flags & 0xF
    if questions > 1:
        raise MalformedError("more than one question")
    if questions == 0 and rcode not in _NO_QUESTION:
        return None
    at = HEADER_BYTES
    if questions:
        end = _skip_name(data, at) + 4
        if data[at:end].lower() != query.question.lower():
            return None
        at = end
    found: dict[str, None] = {}
    for number in range(answers + authorities + additional):
        rtype, rclass, ttl, start, at = _record(data, at)
        if number < answers and (rtype, rclass) == (query.type, _IN):
            found[_address(rtype, data[start:at])] = None
        elif rtype == _OPT and number >= answers + authorities:
            rcode |= ttl >> 24 << 4
    return Message(rcode, tuple(found), bool(flags & _TC))


@functools.lru_cache(maxsize=1024)
def _name_bytes(name: str) -> bytes:
    if not name.isascii():
        import idna  # rare, and big

        try:
            name = idna.encode(name).decode()
        except idna.IDNAError as error:
            raise MalformedError(f"not a name: {error}") from None
    labels = [label.encode() for label in name.removesuffix(".").split(".")]
    wire = b"".join(bytes((len(label),)) + label for label in labels if len(label) < 256) + b"\0"
    if not all(0 < len(label) <= _LABEL_BYTES_MAX for label in labels):
        raise MalformedError("not a name: an empty label or one above 63 bytes")
    if len(wire) > _NAME_BYTES_MAX:
        raise MalformedError("not a name: above 255 bytes")
    return wire


def _skip_name(data: bytes, at: int) -> int:
    """Return where the name at `at` ends; a pointer (RFC 1035 section 4.1.4) ends it."""
    while at < len(data):
        length = data[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            if at + 2 > len(data) or struct.unpack_from("!H", data, at)[0] & 0x3FFF >= at:
                raise MalformedError("a name points nowhere")
            return at + 2
        if length > _LABEL_BYTES_MAX:
            raise MalformedError("a label of no known kind")
        at += 1 + length
    raise MalformedError("a name is cut off")


def _record(data: bytes, at: int) -> tuple[int, int, int, int, int]:
    """Return a record's type, class and TTL, and where its data begins and ends."""
    at = _skip_name(data, at)
    if at + 10 > len(data):
        raise MalformedError("a record is cut off")
    rtype, rclass, ttl, length = struct.unpack_from("!HHIH", data, at)
    end = at + 10 + length
    if end > len(data):
        raise MalformedError("a record is cut off")
    return rtype, rclass, ttl, at + 10, end


def _address(rtype: int, rdata: bytes) -> str:
    family, length = _AF[rtype]
    if len(rdata) != length:
        raise MalformedError("an address of another length")
    return socket.inet_ntop(family, rdata)
