"""Counts what the archive really holds of one probe, by opening every segment again.

Asks no index: this is the check on it, on the ingest and on the sync. What a
`duplicate` is: a record that stands in the archive more than once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linewatch_core.errors import DecryptionError, LinewatchError, MalformedError
from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, Stream
from linewatch_core.segment.keychain import parse_certificates
from linewatch_core.segment.segment import Segment, parse_segment, verify_signature
from linewatch_server.archive.reader import Archive
from linewatch_server.index.opening import Opener
from linewatch_server.model.entries import (
    EntryKind,
    parse_enrolment,
    parse_keys,
    parse_quarantined,
)
from linewatch_server.model.keybook import KeyBook


@dataclass(frozen=True, slots=True)
class StreamAudit:
    """What the archive holds of one stream of one epoch.

    Attributes:
        stored: how many different records.
        duplicates: how many records stand there again, in a copy of their segment.
        conflicts: how many stand there again in another segment.
        unopened: how many of `stored` are counted by their header only, since no
            key held here opens them, or they do not open.
        holes: numbers missing between 1 and the last one, as inclusive ranges.
    """

    epoch: Epoch
    stream: Stream
    stored: int
    duplicates: int
    conflicts: int
    unopened: int
    holes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the archive holds of one probe.

    Attributes:
        streams: by epoch and stream.
        gaps: every gap that the probe itself told.
        unverified: segments that no known key of the probe signed; counted nowhere else.
        quarantined: messages kept but not believed; counted nowhere else.
    """

    probe: ProbeId
    streams: tuple[StreamAudit, ...]
    gaps: tuple[Gap, ...]
    unverified: int
    quarantined: int

    @property
    def stored(self) -> int:
        """How many different records of all streams are stored."""
        return sum(stream.stored for stream in self.streams)

    @property
    def duplicates(self) -> int:
        """How many records stand in the archive again, in whatever form."""
        return sum(stream.duplicates + stream.conflicts for stream in self.streams)

    @property
    def missing(self) -> int:
        """How many numbers are missing from the streams."""
        return sum(last - first + 1 for s in self.streams for first, last in s.holes)


@dataclass(slots=True)
class _Count:
    held: SeqSet = field(default_factory=SeqSet)
    segments: set[bytes] = field(default_factory=set)
    duplicates: int = 0
    conflicts: int = 0
    unopened: int = 0


def audit(directory: Path, probe: ProbeId, *, recipient_secrets: Sequence[bytes] = ()) -> Audit:
    """Count what DIR's archive holds of a probe.

    Reads the whole archive twice; a server may be running meanwhile.

    Raises:
        ArchiveDamagedError: the archive does not read.
    """
    archive, opener = Archive(directory), Opener(recipient_secrets)
    keys = _keys_of(archive, probe).trusted()
    counts: dict[tuple[Epoch, Stream], _Count] = {}
    gaps: list[Gap] = []
    unverified = quarantined = 0
    for _, entry in archive.entries():
        if entry.kind is EntryKind.QUARANTINE:
            quarantined += parse_quarantined(entry.payload).probe == probe
        if entry.kind is not EntryKind.SEGMENT:
            continue
        segment = _parse(entry.payload)
        if segment is None or segment.header.probe != probe:
            continue
        public = keys.get(segment.header.signer)
        if public is None or not _is_signed(segment, public):
            unverified += 1
            continue
        place = (segment.header.epoch, segment.header.stream)
        gaps += _count(counts.setdefault(place, _Count()), segment, opener)
    streams = tuple(
        StreamAudit(
            epoch,
            stream,
            count.held.count(),
            count.duplicates,
            count.conflicts,
            count.unopened,
            tuple(count.held.missing(1, count.held.last() or 0)),
        )
        for (epoch, stream), count in sorted(counts.items())
    )
    return Audit(probe, streams, tuple(gaps), unverified, quarantined)


def _count(count: _Count, segment: Segment, opener: Opener) -> list[Gap]:
    """Add a segment's records to a count; return the gaps that are new in it."""
    try:
        records = opener.open(segment)
    except (DecryptionError, MalformedError):
        records = None
    header = segment.header
    numbers = [r.seq for r in records or ()] or range(header.first_seq, header.last_seq + 1)
    again = sum(count.held.covers(seq, seq) for seq in numbers)
    digest = hashlib.sha256(segment.raw).digest()
    if digest in count.segments:
        count.duplicates += again
        return []
    count.segments.add(digest)
    count.conflicts += again
    count.held.add(header.first_seq, header.last_seq)
    if records is None:
        count.unopened += header.count - again
    return [record.body for record in records or () if isinstance(record.body, Gap)]


def _keys_of(archive: Archive, probe: ProbeId) -> KeyBook:
    book = KeyBook()
    for _, entry in archive.entries():
        try:
            if entry.kind is EntryKind.ENROLMENT:
                enrolment = parse_enrolment(entry.payload)
                if enrolment.probe == probe:
                    book.enrol(enrolment.signing_key)
            elif entry.kind is EntryKind.KEYS:
                keys = parse_keys(entry.payload)
                if keys.probe == probe:
                    certificates = parse_certificates(keys.message)
                    book.certify(c for c in certificates if c.probe == probe)
        except MalformedError:
            continue
    return book


def _parse(payload: bytes) -> Segment | None:
    try:
        return parse_segment(payload)
    except MalformedError:
        return None


def _is_signed(segment: Segment, public_key: bytes) -> bool:
    try:
        verify_signature(segment, public_key)
    except LinewatchError:
        return False
    return True
