"""Reads the server's packs by their format alone, as a stranger with the key would.

It shares no line with server/archive: the ledger must not trust what it checks.
Source: docs/decisions/0006-archive-packs.md, server/model/entries.py's layout.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from linewatch_core.errors import LinewatchError
from linewatch_core.ids import BootId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Record, Stream
from linewatch_core.segment.header import Header
from linewatch_core.segment.segment import open_segment, parse_segment
from tests.chaos.disk import Disk

MAGIC = b"LWPACK1\n"
SEGMENT, QUARANTINE = 1, 4
_FIXED = struct.Struct(">4sBIQ")
_HEAD_BYTES = _FIXED.size + 32

Chain: TypeAlias = tuple[str, Stream]


@dataclass(frozen=True, slots=True)
class Found:
    """A record in the archive: of which chain and boot."""

    chain: Chain
    boot: BootId
    record: Record


@dataclass(slots=True)
class Contents:
    """All that an archive holds: records; records not believed; ranges that do not open."""

    found: list[Found] = field(default_factory=list)
    disbelieved: list[Found] = field(default_factory=list)
    unreadable: dict[Chain, SeqSet] = field(default_factory=dict)


def entries(data: bytes, at: int = len(MAGIC)) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of a pack's whole entries from an offset, up to one that is not."""
    while data.startswith(MAGIC) and at + _HEAD_BYTES <= len(data):
        _, kind, length, _ = _FIXED.unpack_from(data, at)
        digest = data[at + _FIXED.size : at + _HEAD_BYTES]
        payload = data[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        if hashlib.sha256(data[at : at + _FIXED.size] + payload).digest() != digest:
            return
        yield kind, payload
        at += _HEAD_BYTES + length


def packs(folder: Path) -> list[Path]:
    """Return the archive's packs, in order."""
    return sorted((folder / "archive").glob("pack-*.lwa"))


def contents(folder: Path, secret: bytes) -> Contents:
    """Open everything in a server's archive with the recipient's key."""
    result = Contents()
    for path in packs(folder):
        for kind, payload in entries(path.read_bytes()):
            if kind == SEGMENT:
                _open(payload, secret, result, result.found)
            elif kind == QUARANTINE:
                _open(_quarantined(payload), secret, result, result.disbelieved)
    return result


@dataclass(slots=True)
class DurableView:
    """What the archive would still hold after any power cut, read anew as packs grow."""

    disk: Disk
    _read: dict[Path, tuple[bytes, list[Header]]] = field(default_factory=dict)

    def held(self) -> dict[Chain, SeqSet]:
        """Return per chain the numbers in durable storage, quarantined ones too."""
        held: dict[Chain, SeqSet] = {}
        for path in packs(self.disk.root):
            for header in self._headers_of(path):
                _add(held, header)
        return held

    def _headers_of(self, path: Path) -> list[Header]:
        """Return the headers in a pack; of one that grew only the new ones are read."""
        data = self.disk.durable_bytes(path)
        before, known = self._read.get(path, (b"", []))
        if data != before:
            grew = len(before) > len(MAGIC) and data.startswith(before)
            start = len(before) if grew else len(MAGIC)
            known = [*(known if grew else []), *_headers(data, start)]
            self._read[path] = (data, known)
        return known


def _headers(data: bytes, start: int) -> Iterator[Header]:
    for kind, payload in entries(data, start):
        if kind == SEGMENT:
            yield parse_segment(payload).header
        elif kind == QUARANTINE:
            yield parse_segment(_quarantined(payload)).header


def _quarantined(payload: bytes) -> bytes:
    """Return the segment in a quarantined entry, behind its probe and reason."""
    reason_bytes = int.from_bytes(payload[16:18], "big")
    return payload[18 + reason_bytes :]


def _open(payload: bytes, secret: bytes, result: Contents, found: list[Found]) -> None:
    segment = parse_segment(payload)
    chain = (segment.header.epoch, segment.header.stream)
    try:
        records = open_segment(segment, secret)
    except LinewatchError:
        _add(result.unreadable, segment.header)
        return
    found += [Found(chain, segment.header.boot, record) for record in records]


def _add(ranges: dict[Chain, SeqSet], header: Header) -> None:
    held = ranges.setdefault((header.epoch, header.stream), SeqSet())
    held.add(header.first_seq, header.last_seq)
