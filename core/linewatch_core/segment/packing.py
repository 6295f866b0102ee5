"""A block's outer form: one kind byte, a deflated msgpack table, then a tail of numbers.

Deflate ends by itself, so the tail needs no length. Both steps are bounded:
a small input that unpacks to a large one raises LimitError. Source: RFC 1951,
the msgpack specification; docs/wire-format.md, "Block".
"""

import zlib
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from linewatch_core.errors import LimitError, MalformedError

T = TypeVar("T")

DICTIONARY = (
    b"NXDOMAINSERVFAILREFUSED"
    b"\xa8rebooted\xa7stopped\xa6killed\xaastore_full\xaestore_damaged\xa7overrun"
    b"\xa5fixed\xa6mobile\xa8domestic\xadinternational\xa7neutral\xa9sensitive"
    b"\xa6portal\xa3raw\xa4roll\xa2ok\xa4dark\xa8intl_cut\xa8filtered\xa9throttled"
    b"\xa6config\xa3gap\xa4line\xa4boot\xaatransition\xa3rtc\xa4nitz\xa6server\xa6anchor\xa3ntp"
    b"eof_errornetwork_unreachablehost_unreachablessl_invalid_hostname"
    b"ssl_unknown_authoritydns_no_answerdns_nxdomain_errorconnection_refused"
    b"connection_resetgeneric_timeout_error\xc2\xc3\x00\x94\xc0\xc2\xc3\x01"
    b"192.168.2001:\xa8resolver\xa7gateway\xa3tcp\xa3dns\xa4icmp\xa4http\x96\xa1h\xcc\xc8\xcd"
    b"\xc0\xc0\xc4\x08\x95\xa3dns\xa7NOERROR\x91\xad"
    b"\xdc\x00\x12\x00\x01\xff\x01\xff\x01\xff\xfd\xdc\x00\xc8\x01\x01\x01\x01\x01\x01"
    b"\xdc\x00\xc8\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"
)
"""Preset for deflate, the likeliest last: part of the format, so never to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one block may unpack to."""

    table_bytes: int = 256 * 1024
    records: int = 4096


def pack(kind: int, table: object, tail: bytes = b"") -> bytes:
    """Return a block of `kind` (0..255) whose table is anything msgspec encodes.

    Raises:
        ValueError: a number in the table is beyond 64 bits (a caller's bug).
    """
    try:
        plain = msgspec.msgpack.encode(table)
    except OverflowError:
        raise ValueError("cannot encode records whose times are beyond 64 bits apart") from None
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    squeezed = squeeze.compress(plain) + squeeze.flush()
    return bytes([kind]) + squeezed + tail


def unpack(data: bytes, table_type: type[T], limits: Limits) -> tuple[T, bytes]:
    """Return a block's table and its tail.

    Raises:
        LimitError: the table is larger than `limits` allow.
        MalformedError: the bytes are not such a block.
    """
    stretch = zlib.decompressobj(-15, DICTIONARY)
    try:
        plain = stretch.decompress(data[1:], limits.table_bytes + 1)
    except zlib.error as error:
        raise MalformedError(f"cannot read block: its table does not inflate ({error})") from None
    if len(plain) > limits.table_bytes:
        raise LimitError(f"cannot read block: its table is above {limits.table_bytes} bytes")
    if not stretch.eof:
        raise MalformedError("cannot read block: its table is cut short")
    try:
        table = msgspec.msgpack.decode(plain, type=table_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"cannot read block: its table is wrong: {error}") from None
    return table, stretch.unused_data
