"""The index's one writer: applies entries of the archive, each once, in transactions.

Decides per segment: verified or not, new or known, opened or not. Invariants:
applying an entry twice changes nothing; `applied_through` is saved with what it
covers, so that after any crash the index goes on where it really is.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from linewatch_core.errors import (
    ChainError,
    DecryptionError,
    LinewatchError,
    MalformedError,
    SignatureError,
)
from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Record, Stream
from linewatch_core.segment.header import Header
from linewatch_core.segment.keychain import check_signer_order
from linewatch_core.segment.segment import Segment, parse_segment, verify_signature
from linewatch_core.segment.signing import KeyId
from linewatch_server.archive.reader import Archive, ArchiveDamagedError
from linewatch_server.index import bookkeeping, contents, event_rows, keys, segments
from linewatch_server.index.database import (
    INDEX_NAME,
    IndexOutdatedError,
    open_writer,
    transaction,
)
from linewatch_server.index.segments import Neighbours, SegmentState
from linewatch_server.model.entries import (
    ArchiveEntry,
    EntryKind,
    Location,
    Quarantined,
    parse_quarantined,
)

_BATCH = 500


class SegmentOpener(Protocol):
    """What opens segments: `opening.Opener`, or a test's."""

    def open(self, segment: Segment) -> list[Record] | None:
        """Return the records, None if no key is held; raise if it does not open."""
        ...


class Outcome(StrEnum):
    """What became of one entry."""

    OPENED = "opened"
    SEALED = "sealed"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    UNVERIFIED = "unverified"
    QUARANTINED = "quarantined"
    KEYS = "keys"


class Index:
    """Writes DIR/index.sqlite from the archive, and answers what the ingest must know.

    Not safe for concurrent use: callers on several threads take turns.
    """

    def __init__(
        self, directory: Path, archive: Archive, opener: SegmentOpener, *, name: str = INDEX_NAME
    ) -> None:
        """Open DIR/`name`, or make it empty.

        Raises:
            IndexOutdatedError: another release made it, or it is damaged.
        """
        self._archive = archive
        self._opener = opener
        self._db = open_writer(directory / name)
        self._tallies: contents.Tallies = defaultdict(list)
        self._gateways: list[tuple[ProbeId, str]] = []

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def apply(self, entries: Sequence[tuple[Location, ArchiveEntry]]) -> Counter[Outcome]:
        """Apply entries in one transaction, in the order of their locations.

        The archive must have been synced: the index may never be ahead of it.
        Entries up to `applied_through` are known and passed over.

        Returns:
            How many entries met each outcome; segments that waited for a key and
            have it now are counted too.
        """
        outcomes: Counter[Outcome] = Counter()
        done = self.applied_through()
        fresh = [(at, entry) for at, entry in entries if done is None or at > done]
        if not fresh:
            return outcomes
        self._tallies.clear()
        self._gateways.clear()
        with transaction(self._db):
            for location, entry in fresh:
                outcomes += self._apply(location, entry)
            contents.add_tallies(self._db, self._tallies)
            for probe, target in self._gateways:
                contents.forget_gateway(self._db, probe, target)
            bookkeeping.save_applied(self._db, *fresh[-1])
        return outcomes

    def catch_up(self, *, on_pack: Callable[[int], None] = lambda _: None) -> Counter[Outcome]:
        """Apply what the archive holds beyond `applied_through`.

        Args:
            on_pack: is told the number of each pack of the archive that is begun.
        Raises:
            IndexOutdatedError: the archive does not hold what was applied last, as
                after a restore of an older archive: rebuild the index.
            ArchiveDamagedError: an entry of the archive does not read.
        """
        self._check_belongs()
        outcomes: Counter[Outcome] = Counter()
        batch: list[tuple[Location, ArchiveEntry]] = []
        pack = 0
        for item in self._archive.entries(self.applied_through()):
            if item[0].pack != pack:
                pack = item[0].pack
                on_pack(pack)
            batch.append(item)
            if len(batch) == _BATCH:
                outcomes += self.apply(batch)
                batch.clear()
        return outcomes + self.apply(batch)

    def applied_through(self) -> Location | None:
        """Return where the last entry applied lies, or None if there was none."""
        saved = bookkeeping.load_applied(self._db)
        return None if saved is None else saved[0]

    def coverage(self, probe: ProbeId, epoch: Epoch, stream: Stream) -> SeqSet:
        """Return the numbers of the segments that are stored and believed."""
        return segments.covered(self._db, probe, epoch, stream)

    def kept(self, probe: ProbeId, epoch: Epoch, stream: Stream) -> SeqSet:
        """Return the numbers that need not be sent again: `coverage`, and what is quarantined.

        Only quarantined segments that the probe itself signed count.
        """
        both = self.coverage(probe, epoch, stream)
        for first, last in segments.quarantined(self._db, probe, epoch, stream):
            both.add(first, last)
        return both

    def holds(self, header: Header) -> bool:
        """Return whether a segment with this very header is stored."""
        return segments.holds_header(self._db, header)

    def neighbours(self, probe: ProbeId, epoch: Epoch, stream: Stream, position: int) -> Neighbours:
        """Return the stored headers at the chain positions right before and after one."""
        return segments.find_neighbours(self._db, probe, epoch, stream, position)

    def holding(self, probe: ProbeId, epoch: Epoch, stream: Stream, seq: int) -> Header | None:
        """Return the header of the segment that holds `seq`, or of the last before it, or None."""
        return segments.find_holding(self._db, probe, epoch, stream, seq)

    def signing_key(self, probe: ProbeId, signer: KeyId) -> bytes | None:
        """Return the public key with that id, if it is enrolled or certified; else None."""
        return keys.find_key(self._db, probe, signer)

    def newest_key_id(self, probe: ProbeId) -> KeyId | None:
        """Return the id of the newest signing key known of a probe, or None."""
        return keys.newest_key(self._db, probe)

    def _apply(self, location: Location, entry: ArchiveEntry) -> Counter[Outcome]:
        try:
            match entry.kind:
                case EntryKind.SEGMENT:
                    return Counter([self._apply_segment(location, entry)])
                case EntryKind.ENROLMENT:
                    probe = keys.apply_enrolment(self._db, entry.payload, entry.arrival_ms)
                    return Counter([Outcome.KEYS]) + self._retry_unverified(probe)
                case EntryKind.KEYS:
                    probe = keys.apply_keys(self._db, entry.payload)
                    return Counter([Outcome.KEYS]) + self._retry_unverified(probe)
                case EntryKind.QUARANTINE:
                    self._quarantine(location, entry.arrival_ms, parse_quarantined(entry.payload))
        except MalformedError as error:
            refused = Quarantined(ProbeId(""), str(error), entry.payload)
            self._quarantine(location, entry.arrival_ms, refused)
        return Counter([Outcome.QUARANTINED])

    def _apply_segment(self, location: Location, entry: ArchiveEntry) -> Outcome:
        segment = parse_segment(entry.payload)
        header = segment.header
        public = keys.find_key(self._db, header.probe, header.signer)
        if public is None:
            bookkeeping.wait_for_key(self._db, location, header.probe, header.signer)
            return Outcome.UNVERIFIED
        refused = None
        try:
            verify_signature(segment, public)
        except SignatureError as error:
            refused = str(error)
        if refused is None and segments.holds_header(self._db, header):
            return Outcome.DUPLICATE
        if refused is None and segments.overlaps_stored(self._db, header):
            refused = "its records overlap others that are stored"
        if refused is None:
            refused = self._out_of_turn(header)
        if refused is not None:
            quarantined = Quarantined(header.probe, refused, entry.payload)
            self._quarantine(location, entry.arrival_ms, quarantined)
            return Outcome.QUARANTINED
        return self._store(location, entry.arrival_ms, segment)

    def _out_of_turn(self, header: Header) -> str | None:
        """Return why a segment's signer cannot stand between its neighbours', or None.

        An old key is erased once its successor is certified: what it signs after
        that was made by whoever got hold of it.
        """
        chain = (header.probe, header.epoch, header.stream)
        near = segments.find_neighbours(self._db, *chain, header.position)
        pairs = ((near.before, header), (header, near.after))
        try:
            for earlier, later in pairs:
                if earlier and later and earlier.signer != later.signer:
                    check_signer_order(earlier, later, keys.keys_in_turn(self._db, header.probe))
        except ChainError as error:
            return str(error)
        return None

    def _store(self, location: Location, arrival_ms: int, segment: Segment) -> Outcome:
        state, problem, records = SegmentState.OPENED, None, None
        header = segment.header
        try:
            records = self._opener.open(segment)
            if records is None:
                state = SegmentState.SEALED
            else:
                for key, found in contents.tally(header, records).items():
                    self._tallies[key].append(found)
        except (DecryptionError, MalformedError) as error:
            state, problem, records = SegmentState.UNREADABLE, str(error), None
        segments.insert_segment(
            self._db, header, location, arrival_ms, state=state, problem=problem
        )
        if records is not None:
            contents.see_boot(self._db, header, records)
            event_rows.insert_events(self._db, header, records)
            contents.insert_modem_states(self._db, header, records)
            self._gateways += event_rows.insert_gateways(self._db, header, records)
        return Outcome(state)

    def _quarantine(self, location: Location, arrival_ms: int, refused: Quarantined) -> None:
        signed = self._signed_header(refused)
        bookkeeping.insert_quarantine(self._db, location, arrival_ms, refused, signed)

    def _signed_header(self, refused: Quarantined) -> Header | None:
        """Return the header of a quarantined segment if its own probe signed it."""
        try:
            segment = parse_segment(refused.data)
            public = keys.find_key(self._db, refused.probe, segment.header.signer)
            if public is None or segment.header.probe != refused.probe:
                return None
            verify_signature(segment, public)
        except LinewatchError:
            return None
        return segment.header

    def _retry_unverified(self, probe: ProbeId) -> Counter[Outcome]:
        """Apply the segments that waited for a key which has come."""
        outcomes: Counter[Outcome] = Counter()
        for location, signer in bookkeeping.unverified_of(self._db, probe):
            if keys.find_key(self._db, probe, signer) is not None:
                bookkeeping.stop_waiting(self._db, location)
                outcomes[self._apply_segment(location, self._archive.read(location))] += 1
        return outcomes

    def _check_belongs(self) -> None:
        saved = bookkeeping.load_applied(self._db)
        if saved is None:
            return
        problem = "the archive holds another entry where the last one applied was"
        try:
            if self._archive.read(saved[0]).digest == saved[1]:
                return
        except ArchiveDamagedError:
            problem = "the archive ends before what was applied last"
        raise IndexOutdatedError(f"cannot use the index: {problem}")
