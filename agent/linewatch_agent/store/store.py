"""The journal and the segments: a committed record survives, sealed from its first write.

Records are committed in groups as frames of an open block. A full block
becomes one signed, chained segment in the transaction that removes its
frames; after a power cut the frames that are left become a segment as they
are. Synchronous; `writer.py` gives it a thread. Source: docs/wire-format.md.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from linewatch_agent.plan.retention import AckLog, log_ack
from linewatch_agent.store.blocks import OpenBlock, SealedFrame, segment_of_frames
from linewatch_agent.store.database import PAGE_BYTES, Opened
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.room import AckState, SealedRange, Thinned, make_room
from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.records import Body, Gap, GapReason, Record, Stream, stream_of
from linewatch_core.segment.chain import CHAIN_START, ChainHead, head_after
from linewatch_core.segment.sealing import Frame, FrameContext, RecipientKey
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.messages import StreamAck

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose records these are, of which boot, and for whom they are sealed."""

    probe: ProbeId
    boot: BootId
    recipients: tuple[RecipientKey, ...]


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """When a block is closed, and how large the store may grow.

    `live_block_ms` is the age at which a block is closed while the uplink is up.
    """

    block_records: int = 200
    block_bytes: int = 16 * 1024
    block_ms: int = 600_000
    live_block_ms: int = 60_000
    bytes_max: int = 512 * _MIB
    free_bytes_min: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How the store stands, for `status`.

    Attributes:
        committed: records ever committed, per stream.
        bytes: of the database's used pages.
        segments: how many have their body.
        thinned: how many have only their header.
    """

    committed: dict[Stream, int]
    bytes: int
    segments: int
    thinned: int

    @classmethod
    def of_nothing(cls) -> "StoreCounts":
        """Return the counts before anything is known."""
        return cls(dict.fromkeys(Stream, 0), 0, 0, 0)


class _LastWord(msgspec.Struct, frozen=True):
    """Up to where this probe is known to have kept everything."""

    boot: BootId
    safe_ms: int
    clean: bool


@dataclass(slots=True)
class _Stream:
    next_seq: int = 1
    head: ChainHead = CHAIN_START
    ack: StreamAck = field(default_factory=lambda: StreamAck(0))
    ack_log: AckLog = ()
    block: OpenBlock | None = None


class Store:
    """The store of one epoch. Every method may raise StoreError; StoreFullError keeps what was
    stored and says so; StoreDamagedError means: stop, the next start begins a new epoch."""

    def __init__(
        self,
        opened: Opened,
        *,
        owner: Owner,
        new_epoch: Epoch,
        keys: SigningKeys,
        limits: StoreLimits,
        now_ms: int,
    ) -> None:
        """Take over an open database; frames that a power cut left become segments here.

        `new_epoch` is taken if the database is new.
        """
        self._db = opened.db
        self._keys = keys
        self._limits = limits
        self._started_ms = now_ms
        self._previous: _LastWord | None = None
        self._streams = {stream: _Stream() for stream in Stream}
        self._set_aside = opened.set_aside
        with self._db.guarded():
            self._owner = owner
            self._epoch = Epoch(self._db.get_or_set("epoch", new_epoch))
            self._uptime_ms = int(self._db.get_or_set("uptime_ms", 0))
            previous = self._db.get("last")
            self._previous = msgspec.msgpack.decode(previous, type=_LastWord) if previous else None
            for stream in Stream:
                self._load_stream(stream)
        for stream in Stream:
            self._recover(stream)

    @property
    def epoch(self) -> Epoch:
        """The id of this store."""
        return self._epoch

    def opening_gap(self, now_ms: int) -> Gap | None:
        """Return the gap between what was kept before and now, or None on the very first start."""
        boot = self._owner.boot
        if self._previous is None:
            if self._set_aside is None:
                return None
            return Gap(now_ms, GapReason.STORE_DAMAGED, boot, 0, now_ms)
        if self._previous.boot != boot:
            reason = GapReason.REBOOTED
        else:
            reason = GapReason.STOPPED if self._previous.clean else GapReason.KILLED
        return Gap(now_ms, reason, self._previous.boot, self._previous.safe_ms, now_ms)

    def commit(self, bodies: Sequence[Body], *, now_ms: int, safe_ms: int) -> list[Record]:
        """Store bodies durably, all or none; return them with their sequence numbers.

        Args:
            bodies: in the order to number them.
            now_ms: CLOCK_BOOTTIME.
            safe_ms: every check that began before it is in the store, with these.
        """
        grouped: dict[Stream, list[Record]] = {}
        for body in bodies:
            stream = stream_of(body)
            records = grouped.setdefault(stream, [])
            records.append(Record(self._streams[stream].next_seq + len(records), body))
        self._commit(grouped, now_ms, safe_ms)
        return [record for records in grouped.values() for record in records]

    def seal_due(self, *, now_ms: int, live: bool) -> list[SealedRange]:
        """Close every block that is full or old enough; return the segments made."""
        age_ms = self._limits.live_block_ms if live else self._limits.block_ms
        return [
            self.seal(stream)
            for stream, state in self._streams.items()
            if state.block is not None
            and state.block.records
            and (
                len(state.block.records) >= self._limits.block_records
                or state.block.frame_bytes >= self._limits.block_bytes
                or now_ms - state.block.began_ms >= age_ms
            )
        ]

    def seal(self, stream: Stream) -> SealedRange:
        """Close the open block of `stream` (there must be one with records) into a segment."""
        state = self._streams[stream]
        assert state.block is not None
        first, last = state.block.records[0].seq, state.block.records[-1].seq
        data = state.block.close(state.head, self._keys.current)
        self._store_segment(stream, data)
        state.block = None
        return SealedRange(stream, first, last)

    def open_records(self) -> dict[Stream, int]:
        """Return how many committed records are in open blocks."""
        return {s: len(t.block.records) if t.block else 0 for s, t in self._streams.items()}

    def held(self) -> list[SealedRange]:
        """Return the ranges of segments that have their body, adjacent ones merged."""
        with self._db.guarded():
            rows = self._db.execute(
                "SELECT stream, first_seq, last_seq FROM segment WHERE body_bytes > 0 "
                "ORDER BY stream, first_seq"
            )
            ranges: list[SealedRange] = []
            for name, first, last in rows:
                if ranges and ranges[-1].stream == name and ranges[-1].last == first - 1:
                    ranges[-1] = replace(ranges[-1], last=last)
                else:
                    ranges.append(SealedRange(Stream(name), first, last))
        return ranges

    def load(self, stream: Stream, seq: int) -> tuple[SealedRange, bytes] | None:
        """Return the segment that holds `seq`, or None if it is not here whole."""
        with self._db.guarded():
            row = self._db.execute(
                "SELECT first_seq, last_seq, header, body FROM segment "
                "WHERE stream = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
                (stream, seq),
            ).fetchone()
        if row is None or row[1] < seq or row[3] is None:
            return None
        return SealedRange(stream, row[0], row[1]), row[2] + row[3]

    def acks(self) -> dict[Stream, StreamAck]:
        """Return the last ack of each stream."""
        return {stream: state.ack for stream, state in self._streams.items()}

    def save_ack(self, stream: Stream, ack: StreamAck, *, now_ms: int) -> None:
        """Remember what the server has of `stream`; it may be less than before."""
        state = self._streams[stream]
        log = log_ack(state.ack_log, uptime_ms=self._uptime(now_ms), through=ack.through)
        with self._db.transaction():
            self._db.execute(
                "UPDATE stream SET ack_through = ?, ack_holes = ?, ack_log = ? WHERE stream = ?",
                (ack.through, _json(ack.holes), _json(log), stream),
            )
        state.ack, state.ack_log = ack, log

    def next_conn(self) -> int:
        """Count one more connection, durably, and return its number."""
        with self._db.transaction():
            number = int(self._db.get("conn") or 0) + 1
            self._db.set("conn", number)
        return number

    def make_room(self, now_ms: int) -> Thinned | None:
        """Give up what plan/retention chooses; return what went, or None if nothing could."""
        acks = {s: AckState(t.ack, t.ack_log) for s, t in self._streams.items()}
        return make_room(
            self._db,
            acks,
            uptime_ms=self._uptime(now_ms),
            now_ms=now_ms,
            free_bytes=max(_MIB, self._limits.bytes_max // 64),
        )

    def room_is_short(self) -> bool:
        """Return whether the store is at its bound, or the disk at its floor."""
        used, free = self._db.pages()
        if used * PAGE_BYTES >= self._limits.bytes_max:
            return True
        disk_free = shutil.disk_usage(self._db.directory).free
        return disk_free < self._limits.free_bytes_min and free * PAGE_BYTES < _MIB

    def counts(self) -> StoreCounts:
        """Return how the store stands."""
        with self._db.guarded():
            used, _ = self._db.pages()
            bodies, total = self._db.execute(
                "SELECT count(*) FILTER (WHERE body_bytes > 0), count(*) FROM segment"
            ).fetchone()
        committed = {stream: state.next_seq - 1 for stream, state in self._streams.items()}
        return StoreCounts(committed, used * PAGE_BYTES, bodies, total - bodies)

    def stop(self, *, now_ms: int) -> list[SealedRange]:
        """Close every block and the file: everything is kept, and the next start knows it."""
        sealed = [self.seal(s) for s, t in self._streams.items() if t.block and t.block.records]
        with self._db.transaction():
            self._note_last(now_ms, now_ms, clean=True)
        self._db.close()
        return sealed

    # --- inside -------------------------------------------------------------

    def _commit(self, grouped: dict[Stream, list[Record]], now_ms: int, safe_ms: int) -> None:
        accepted: list[tuple[OpenBlock, list[Record], SealedFrame]] = []
        with self._db.transaction():
            for stream, records in grouped.items():
                block = self._streams[stream].block or self._new_block(stream, now_ms)
                sealed = block.seal_frame(records)
                self._insert_frame(stream, block, sealed)
                accepted.append((block, records, sealed))
            self._note_last(now_ms, safe_ms, clean=False)
        for block, records, sealed in accepted:
            block.accept(records, sealed)
            state = self._streams[block.context.stream]
            state.block = block
            state.next_seq += len(records)

    def _context(self, stream: Stream, boot: BootId) -> FrameContext:
        return FrameContext(self._owner.probe, self._epoch, stream, boot)

    def _new_block(self, stream: Stream, now_ms: int) -> OpenBlock:
        context = self._context(stream, self._owner.boot)
        return OpenBlock.begin(context, self._owner.recipients, now_ms=now_ms)

    def _insert_frame(self, stream: Stream, block: OpenBlock, sealed: SealedFrame) -> None:
        frame = sealed.frame
        if not block.records:
            self._db.execute(
                "INSERT INTO block VALUES (?, ?, ?)",
                (stream, block.context.boot, block.sealer.wraps),
            )
        self._db.execute(
            "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                stream,
                frame.counter,
                frame.first_seq,
                frame.last_seq,
                sealed.mono_first_ms,
                sealed.mono_last_ms,
                frame.ciphertext,
            ),
        )
        self._db.execute(
            "UPDATE stream SET next_seq = ? WHERE stream = ?", (frame.last_seq + 1, stream)
        )

    def _store_segment(self, stream: Stream, data: bytes) -> None:
        """Put a segment in place of the open block's frames, in one transaction."""
        segment = parse_segment(data)
        header = segment.header
        split = segment.header_bytes
        head = head_after(header)
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO segment (stream, first_seq, last_seq, header, body, body_bytes) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    stream,
                    header.first_seq,
                    header.last_seq,
                    data[:split],
                    data[split:],
                    len(data) - split,
                ),
            )
            self._db.execute("DELETE FROM frame WHERE stream = ?", (stream,))
            self._db.execute("DELETE FROM block WHERE stream = ?", (stream,))
            self._db.execute(
                "UPDATE stream SET next_position = ?, head_sha256 = ? WHERE stream = ?",
                (head.next_position, head.previous_sha256, stream),
            )
        self._streams[stream].head = head

    def _recover(self, stream: Stream) -> None:
        """Make a segment of the frames that the last run left in its journal."""
        with self._db.guarded():
            block = self._db.execute(
                "SELECT boot, wraps FROM block WHERE stream = ?", (stream,)
            ).fetchone()
            rows = self._db.execute(
                "SELECT counter, first_seq, last_seq, data, mono_first, mono_last FROM frame "
                "WHERE stream = ? ORDER BY counter",
                (stream,),
            ).fetchall()
        if block is None or not rows:
            return
        data = segment_of_frames(
            self._context(stream, BootId(block[0])),
            block[1],
            [SealedFrame(Frame(*row[:4]), row[4], row[5]) for row in rows],
            head=self._streams[stream].head,
            key=self._keys.current,
        )
        self._store_segment(stream, data)

    def _load_stream(self, stream: Stream) -> None:
        row = self._db.execute(
            "SELECT next_seq, next_position, head_sha256, ack_through, ack_holes, ack_log "
            "FROM stream WHERE stream = ?",
            (stream,),
        ).fetchone()
        if row is None:
            self._db.execute(
                "INSERT INTO stream VALUES (?, 1, 0, ?, 0, '[]', '[]')", (stream, bytes(32))
            )
            return
        holes = msgspec.json.decode(row[4], type=tuple[tuple[int, int], ...])
        log = msgspec.json.decode(row[5], type=AckLog)
        frames_from = self._db.execute(
            "SELECT min(first_seq) FROM frame WHERE stream = ?", (stream,)
        ).fetchone()[0]
        # The chain ends where the journal's frames begin.
        head = ChainHead(row[1], row[2], row[0] if frames_from is None else frames_from)
        self._streams[stream] = _Stream(row[0], head, StreamAck(row[3], holes), log)

    def _uptime(self, now_ms: int) -> int:
        return self._uptime_ms + now_ms - self._started_ms

    def _note_last(self, now_ms: int, safe_ms: int, *, clean: bool) -> None:
        word = _LastWord(self._owner.boot, safe_ms, clean)
        self._db.set("last", msgspec.msgpack.encode(word))
        self._db.set("uptime_ms", self._uptime(now_ms))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
