"""Entries of the archive as bytes: framing, and what each kind of payload holds.

Pure; archive/ does the files. Layout of an entry, all integers big-endian:
magic `LWA1` (4), kind (1), payload length (4), arrival in Unix ms (8), SHA-256
(32) over the 17 bytes before it and the payload, then the payload. Invariant:
bytes that do not parse raise MalformedError, whatever they are.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId, parse_probe_id

PACK_MAGIC = b"LWPACK1\n"
"""The first bytes of each pack: says the version of all that follows."""
ENTRY_MAGIC = b"LWA1"
PAYLOAD_BYTES_MAX = 1 << 20
"""Far above a segment's 64 KiB: a length beyond it is damage, not data."""

_FIXED = struct.Struct(">4sBIQ")
HEADER_BYTES = _FIXED.size + 32
_PROBE_BYTES = 16
_PUBLIC_KEY_BYTES = 32


class EntryKind(IntEnum):
    """What an entry's payload is.

    segment: the bytes exactly as the probe signed them. keys: a probe id and
    the message of `up/keys` as it came. enrolment: a probe id and its first
    signing public key. quarantine: a probe id, a reason, and the bytes refused.
    """

    SEGMENT = 1
    KEYS = 2
    ENROLMENT = 3
    QUARANTINE = 4


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where an entry begins: the pack's number (from 1) and the offset in bytes.

    Locations of one archive are ordered as the entries were appended.
    """

    pack: int
    offset: int


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One entry: what it is, when it arrived (Unix ms by the server's clock), its bytes."""

    kind: EntryKind
    arrival_ms: int
    payload: bytes

    @property
    def digest(self) -> bytes:
        """The SHA-256 that stands in the entry's header."""
        return _digest(self.kind, self.arrival_ms, self.payload)


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """The fixed part of an entry, before its payload has been read."""

    kind: EntryKind
    arrival_ms: int
    payload_bytes: int
    digest: bytes


def encode_entry(entry: ArchiveEntry) -> bytes:
    """Return an entry's bytes.

    Raises:
        ValueError: the payload is empty or longer than PAYLOAD_BYTES_MAX (a caller's bug).
    """
    if not 0 < len(entry.payload) <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"an entry holds 1 to {PAYLOAD_BYTES_MAX} bytes: {len(entry.payload)}")
    fixed = _FIXED.pack(ENTRY_MAGIC, entry.kind, len(entry.payload), entry.arrival_ms)
    return fixed + entry.digest + entry.payload


def parse_entry_header(data: bytes) -> EntryHeader:
    """Return the header at the start of `data`, or raise MalformedError."""
    if len(data) < HEADER_BYTES:
        raise MalformedError("an entry's header is cut short")
    magic, kind, length, arrival_ms = _FIXED.unpack_from(data)
    if magic != ENTRY_MAGIC:
        raise MalformedError("no entry begins here")
    if kind not in set(EntryKind) or not 0 < length <= PAYLOAD_BYTES_MAX:
        raise MalformedError(f"an entry of kind {kind} with {length} bytes is impossible")
    digest = bytes(data[_FIXED.size : HEADER_BYTES])
    return EntryHeader(EntryKind(kind), arrival_ms, length, digest)


def parse_entry(data: bytes) -> ArchiveEntry:
    """Return the entry at the start of `data` (more may follow), or raise MalformedError."""
    header = parse_entry_header(data)
    payload = bytes(data[HEADER_BYTES : HEADER_BYTES + header.payload_bytes])
    if len(payload) < header.payload_bytes:
        raise MalformedError("an entry's payload is cut short")
    entry = ArchiveEntry(header.kind, header.arrival_ms, payload)
    if entry.digest != header.digest:
        raise MalformedError("an entry's SHA-256 does not match its bytes")
    return entry


def find_entry(data: bytes, start: int) -> int | None:
    """Return where the first whole, intact entry at or after `start` begins, if any does."""
    at = data.find(ENTRY_MAGIC, start)
    while at >= 0:
        try:
            parse_entry(data[at : at + HEADER_BYTES + PAYLOAD_BYTES_MAX])
        except MalformedError:
            at = data.find(ENTRY_MAGIC, at + 1)
        else:
            return at
    return None


def _digest(kind: EntryKind, arrival_ms: int, payload: bytes) -> bytes:
    fixed = _FIXED.pack(ENTRY_MAGIC, kind, len(payload), arrival_ms)
    return hashlib.sha256(fixed + payload).digest()


@dataclass(frozen=True, slots=True)
class Keys:
    """The payload of a `keys` entry: whose they are, and the message as it came."""

    probe: ProbeId
    message: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        return self.probe.encode() + self.message


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The payload of an `enrolment` entry: a probe and its first Ed25519 public key."""

    probe: ProbeId
    signing_key: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        if len(self.signing_key) != _PUBLIC_KEY_BYTES:
            raise ValueError("an Ed25519 public key has 32 bytes")
        return self.probe.encode() + self.signing_key


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The payload of a `quarantine` entry: who sent it, why it was refused, what it was."""

    probe: ProbeId
    reason: str
    data: bytes

    def encode(self) -> bytes:
        """Return the payload; a reason is kept to its first 400 bytes."""
        reason = self.reason.encode()[:400]
        return self.probe.encode() + struct.pack(">H", len(reason)) + reason + self.data


def parse_keys(payload: bytes) -> Keys:
    """Return the payload of a `keys` entry, or raise MalformedError."""
    return Keys(_probe(payload), payload[_PROBE_BYTES:])


def parse_enrolment(payload: bytes) -> Enrolment:
    """Return the payload of an `enrolment` entry, or raise MalformedError."""
    key = payload[_PROBE_BYTES:]
    if len(key) != _PUBLIC_KEY_BYTES:
        raise MalformedError(f"an enrolment's signing key has {len(key)} bytes, not 32")
    return Enrolment(_probe(payload), key)


def parse_quarantined(payload: bytes) -> Quarantined:
    """Return the payload of a `quarantine` entry, or raise MalformedError."""
    probe, rest = _probe(payload), payload[_PROBE_BYTES:]
    if len(rest) < 2:
        raise MalformedError("a quarantined entry is cut short")
    end = 2 + int.from_bytes(rest[:2], "big")
    if end > len(rest):
        raise MalformedError("a quarantined entry is cut short")
    return Quarantined(probe, rest[2:end].decode(errors="replace"), rest[end:])


def _probe(payload: bytes) -> ProbeId:
    return parse_probe_id(payload[:_PROBE_BYTES].decode("ascii", errors="replace"))
