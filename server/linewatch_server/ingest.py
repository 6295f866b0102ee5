"""Takes what probes send: verify, archive, index, and only then acknowledge.

`Ingest` decides and stores one batch at a time and knows no network; the
driver in collector.py feeds it from the broker. Invariant: an ack never says
more than what the archive has synced and the index has committed.
Source: docs/wire-format.md, "Sync".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import structlog

from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import Epoch, ProbeId, parse_epoch, parse_probe_id
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.header import Header, header_sha256
from linewatch_core.segment.keychain import parse_certificates
from linewatch_core.segment.segment import Segment, parse_segment, verify_signature
from linewatch_core.sync import ingestor, topics
from linewatch_core.sync.ingestor import AckBook, Decision, Event, SayAck, judge
from linewatch_core.sync.messages import decode_status
from linewatch_server.archive.reader import ArchiveFullError
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.database import IndexFullError
from linewatch_server.index.writer import Index
from linewatch_server.model.entries import (
    ArchiveEntry,
    Enrolment,
    EntryKind,
    Keys,
    Location,
    Quarantined,
)

log = structlog.get_logger()

HEADS_MAX = 16
"""Ends of what is held that an ack of a birth names, per stream: the first, and the last."""

ChainId: TypeAlias = tuple[ProbeId, Epoch, Stream]


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the broker, and when it arrived (Unix ms)."""

    topic: str
    payload: bytes
    arrival_ms: int


class Refusal(StrEnum):
    """Why a message is not taken, for the log and the counters."""

    NOT_OURS = "not_ours"
    NOT_LIVE = "probe_not_live"
    MALFORMED = "malformed"
    NOT_ITS_OWN = "of_another_probe"
    UNKNOWN_KEY = "unknown_signing_key"
    BAD_SIGNATURE = "bad_signature"


@dataclass(slots=True)
class _Batch:
    """What one batch has decided so far and not yet stored."""

    roots: dict[ProbeId, bytes | None] = field(default_factory=dict)
    decided: Counter[Decision] = field(default_factory=Counter)
    entries: list[tuple[EntryKind, bytes, int]] = field(default_factory=list)
    events: list[tuple[ProbeId, Event]] = field(default_factory=list)
    births: list[tuple[ProbeId, bytes]] = field(default_factory=list)
    kept: dict[ChainId, SeqSet] = field(default_factory=dict)
    headers: dict[ChainId, dict[int, Header]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(slots=True)
class IngestCounts:
    """Since the start: segments by decision, refusals by reason."""

    decided: Counter[Decision] = field(default_factory=Counter)
    refused: Counter[Refusal] = field(default_factory=Counter)


class NoRoomError(LinewatchError):
    """The disk takes no more: nothing of the batch is acknowledged; give it again later."""


class _RefusedError(Exception):
    def __init__(self, reason: Refusal, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


class Ingest:
    """Stores messages and keeps the acks. Not safe for concurrent use."""

    def __init__(
        self, archive: ArchiveWriter, index: Index, *, root_key: Callable[[ProbeId], bytes | None]
    ) -> None:
        """Take an open archive and an index that has caught up with it.

        Args:
            root_key: the first signing key of a probe that is enrolled and not
                revoked; None for any other.
        """
        self._archive = archive
        self._index = index
        self._root_key = root_key
        self._books: dict[ProbeId, AckBook] = defaultdict(AckBook)
        self._index_is_behind = False
        self.counts = IngestCounts()

    def take(self, messages: Sequence[Message], now_s: float) -> list[tuple[ProbeId, SayAck]]:
        """Store a batch durably; return the acks that are due now.

        Raises:
            NoRoomError: no ack says anything of the batch, though part of it may be
                stored; the same batch again is stored once.
        """
        try:
            return self._take(messages, now_s)
        except (ArchiveFullError, IndexFullError) as error:
            raise NoRoomError(str(error)) from error

    def tick(self, now_s: float) -> list[tuple[ProbeId, SayAck]]:
        """Return the acks that are due because time has passed."""
        return [
            (probe, ack)
            for probe, book in self._books.items()
            if (due := book.wakeup_at()) is not None and due <= now_s
            for ack in book.handle(ingestor.Tick(), now_s)
        ]

    def wakeup_at(self) -> float | None:
        """Return the monotonic second at which the next `tick` is due, or None."""
        dues = [due for book in self._books.values() if (due := book.wakeup_at()) is not None]
        return min(dues, default=None)

    def newest_key(self, probe: ProbeId) -> str | None:
        """Return the id of the newest signing key known of a probe."""
        return self._index.newest_key_id(probe)

    def _take(self, messages: Sequence[Message], now_s: float) -> list[tuple[ProbeId, SayAck]]:
        if self._index_is_behind:
            self._index.catch_up()
            self._index_is_behind = False
        batch = _Batch()
        for message in messages:
            try:
                self._sort(message, batch)
            except _RefusedError as refused:
                self.counts.refused[refused.reason] += 1
                log.warning("message_refused", reason=refused.reason.value, detail=str(refused))
        self._store(batch.entries)
        self.counts.decided += batch.decided
        said: list[tuple[ProbeId, SayAck]] = []
        for probe, event in batch.events:
            said += [(probe, ack) for ack in self._books[probe].handle(event, now_s)]
        for probe, payload in batch.births:
            said += [(probe, ack) for ack in self._born(probe, payload, now_s)]
        return said

    def _sort(self, message: Message, batch: _Batch) -> None:
        try:
            address = topics.parse(message.topic)
            probe = parse_probe_id(address.client)
        except MalformedError as error:
            raise _RefusedError(Refusal.NOT_OURS, str(error)) from None
        if probe not in batch.roots:
            batch.roots[probe] = self._root_key(probe)
        root = batch.roots[probe]
        if root is None:
            raise _RefusedError(Refusal.NOT_LIVE, probe)
        if self._index.newest_key_id(probe) is None:
            enrolment = Enrolment(probe, root).encode()
            self._store([(EntryKind.ENROLMENT, enrolment, message.arrival_ms)])
        match address.leaf.split("/"):
            case ["status"]:
                batch.births.append((probe, message.payload))
            case ["up", "keys"]:
                self._sort_keys(probe, message, batch)
            case ["up", stream] if stream in set(Stream):
                self._sort_segment(probe, Stream(stream), message, batch)
            case _:
                raise _RefusedError(Refusal.NOT_OURS, message.topic[:80])

    def _sort_keys(self, probe: ProbeId, message: Message, batch: _Batch) -> None:
        try:
            certificates = parse_certificates(message.payload)
        except MalformedError as error:
            raise _RefusedError(Refusal.MALFORMED, str(error)) from None
        if any(certificate.probe != probe for certificate in certificates):
            raise _RefusedError(Refusal.NOT_ITS_OWN, probe)
        payload = Keys(probe, message.payload).encode()
        # Segments of this very batch may be signed with the new key.
        self._store([*batch.entries, (EntryKind.KEYS, payload, message.arrival_ms)])
        batch.entries.clear()

    def _sort_segment(
        self, probe: ProbeId, stream: Stream, message: Message, batch: _Batch
    ) -> None:
        segment = self._verified(probe, stream, message.payload)
        header = segment.header
        chain = (probe, header.epoch, stream)
        if chain not in batch.kept:
            batch.kept[chain] = self._index.kept(*chain)
        judgement = self._judge(header, chain, batch)
        batch.decided[judgement.decision] += 1
        match judgement.decision:
            case Decision.STORE:
                batch.headers[chain][header.position] = header
                batch.entries.append((EntryKind.SEGMENT, message.payload, message.arrival_ms))
            case Decision.DUPLICATE:
                pass  # It was stored before and its ack lost, so that is said again.
            case Decision.QUARANTINE:
                log.warning("segment_quarantined", probe=probe, reason=judgement.reason)
                refused = Quarantined(probe, judgement.reason, message.payload)
                batch.entries.append((EntryKind.QUARANTINE, refused.encode(), message.arrival_ms))
        batch.kept[chain].add(header.first_seq, header.last_seq)
        batch.events.append(
            (
                probe,
                ingestor.Durable(
                    header.epoch, stream, header.first_seq, header.last_seq, batch.kept[chain]
                ),
            )
        )

    def _verified(self, probe: ProbeId, stream: Stream, payload: bytes) -> Segment:
        try:
            segment = parse_segment(payload)
        except MalformedError as error:
            raise _RefusedError(Refusal.MALFORMED, str(error)) from None
        header = segment.header
        if header.probe != probe or header.stream is not stream:
            raise _RefusedError(Refusal.NOT_ITS_OWN, probe)
        public = self._index.signing_key(probe, header.signer)
        if public is None:
            raise _RefusedError(Refusal.UNKNOWN_KEY, f"{probe} {header.signer}")
        try:
            verify_signature(segment, public)
        except LinewatchError as error:
            raise _RefusedError(Refusal.BAD_SIGNATURE, str(error)) from None
        return segment

    def _judge(self, header: Header, chain: ChainId, batch: _Batch) -> ingestor.Judgement:
        fresh = batch.headers[chain]
        stored = self._index.neighbours(*chain, header.position)
        twin = fresh.get(header.position) or self._at(header.position, chain)
        same = self._index.holds(header) or (
            twin is not None and header_sha256(twin) == header_sha256(header)
        )
        return judge(
            header,
            held=batch.kept[chain],
            same=same,
            before=fresh.get(header.position - 1, stored.before),
            after=fresh.get(header.position + 1, stored.after),
            at=twin,
        )

    def _at(self, position: int, chain: ChainId) -> Header | None:
        """Return the stored header at a position of a chain, or None."""
        return self._index.neighbours(*chain, position + 1).before

    def _store(self, entries: Sequence[tuple[EntryKind, bytes, int]]) -> None:
        if not entries:
            return
        placed: list[tuple[Location, ArchiveEntry]] = []
        try:
            for kind, payload, arrival_ms in entries:
                location = self._archive.append(kind, payload, arrival_ms)
                placed.append((location, ArchiveEntry(kind, arrival_ms, payload)))
        finally:
            # On a full disk what fitted stays: the index must know all that the archive holds,
            # in that order, so it catches up before anything else is applied.
            self._archive.sync()
            self._index_is_behind = True
            self._index.apply(placed)
            self._index_is_behind = False

    def _born(self, probe: ProbeId, payload: bytes, now_s: float) -> list[SayAck]:
        try:
            status = decode_status(payload)
            epoch = parse_epoch(status.epoch)
        except MalformedError as error:
            self.counts.refused[Refusal.MALFORMED] += 1
            log.warning("message_refused", reason="malformed", detail=str(error))
            return []
        held = {stream: self._index.kept(probe, epoch, stream) for stream in Stream}
        heads = {}
        for stream in Stream:
            ends = [last for _, last in held[stream]]
            found = [
                self._index.holding(probe, epoch, stream, last)
                for last in (*ends[: HEADS_MAX - 1], *ends[HEADS_MAX - 1 :][-1:])
            ]
            heads[stream] = tuple(
                (header.last_seq, header_sha256(header).hex()) for header in found if header
            )
        return self._books[probe].handle(ingestor.Born(status, held, heads), now_s)
