"""The journal and the segments: a committed record survives, sealed from its first write.

Records are committed in groups as frames of an open block. A full block
becomes one signed, chained segment in the transaction that removes its
frames; after a power cut the frames that are left become a segment as they
are. Synchronous; `writer.py` gives it a thread. Source: docs/wire-format.md.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from msgspec.structs import replace as replace_struct

from linewatch_agent.plan.retention import log_ack
from linewatch_agent.store.blocks import OpenBlock, SealedFrame, segments_of_journal
from linewatch_agent.store.database import PAGE_BYTES, StoreDamagedError, StoreFullError
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.opening import Opened, open_database
from linewatch_agent.store.reserve import (
    RESERVE_BYTES,
    has_reserve,
    keep_reserve,
    release_reserve,
)
from linewatch_agent.store.room import AckState, Thinned, choose, gaps_of, give_up
from linewatch_agent.store.spare import Mark
from linewatch_agent.store.summary import EVERY, Summary
from linewatch_agent.store.tables import (
    SealedRange,
    SegmentRow,
    StreamRow,
    begin_block,
    find_segment,
    get_state,
    insert_frame,
    load_journal,
    load_stream,
    put_segments,
    save_ack_log,
    save_stream,
    set_state,
    thin_segment,
)
from linewatch_core.errors import MalformedError, SignatureError
from linewatch_core.ids import BootId, Epoch, ProbeId, parse_epoch
from linewatch_core.records import Body, Gap, GapReason, Record, Stream, stream_of
from linewatch_core.segment.chain import ChainHead
from linewatch_core.segment.sealing import FrameContext, RecipientKey
from linewatch_core.segment.segment import parse_segment, verify_signature
from linewatch_core.segment.signing import KEY_BYTES
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import Heads, StreamAck

_MIB = 1024 * 1024
_SPARE_BYTES = _MIB // 8
"""Room within the file that counts as enough on a disk at its floor: some hours of default load."""
_CONN_STEP = 64
"""Connection numbers are reserved so many at a time: a full disk must not keep us from sending."""


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
class Closing:
    """Which blocks a commit closes, so that sealing costs no transaction of its own.

    Attributes:
        live: whether the uplink is up.
        since_ms: when the oldest body of the commit was taken: its block is as old as that.
        ahead_ms: when the next commit is due, from now; what is old enough by then is closed
            now.
    """

    live: bool
    since_ms: int
    ahead_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit stored, and what became segments in it."""

    records: list[Record]
    sealed: list[SealedRange]


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
        """Return the counts of a store without a record."""
        return cls(dict.fromkeys(Stream, 0), 0, 0, 0)


class _LastWord(msgspec.Struct, frozen=True):
    """Up to where this probe is known to have kept everything, and how long it has run."""

    boot: BootId
    safe_ms: int
    clean: bool
    uptime_ms: int
    mark: Mark = Mark()


@dataclass(slots=True)
class _Stream:
    row: StreamRow
    next_seq: int
    block: OpenBlock | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """Records in an open transaction, and their frames; or the stream's new row, if its block
    was closed with them."""

    stream: Stream
    block: OpenBlock
    records: Sequence[Record]
    frames: list[SealedFrame] = field(default_factory=list)
    closed: StreamRow | None = None


def open_store(
    directory: Path,
    *,
    owner: Owner,
    new_epoch: Epoch,
    keys: SigningKeys,
    limits: StoreLimits,
    now_ms: int,
) -> "Store":
    """Open the store in `directory`; one that proves damaged is set aside on the spot.

    Raises:
        StoreError: it can't be used; the text says what to do.
    """

    def attempt() -> Store:
        opened = open_database(directory)
        try:
            return Store(
                opened, owner=owner, new_epoch=new_epoch, keys=keys, limits=limits, now_ms=now_ms
            )
        except BaseException:
            opened.db.close()
            raise

    try:
        store = attempt()
    except StoreDamagedError:
        store = attempt()
    except StoreFullError:
        if not release_reserve(directory):
            raise
        store = attempt()
    keep_reserve(directory)
    return store


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
        self._owner = owner
        self._keys = keys
        self._limits = limits
        self._started_ms = self._now_ms = now_ms
        self._set_aside = opened.set_aside
        self._unsaved_acks: set[Stream] = set()
        self._is_stopped = False
        with self._db.reading():
            known = self._db.get("epoch")
            self._epoch = new_epoch if known is None else parse_epoch(known)
            last = get_state(self._db, "last")
            self._previous = msgspec.msgpack.decode(last, type=_LastWord) if last else None
            self._is_first_commit = last is None
            self._conn = self._conn_reserved = int(self._db.get("conn") or 0)
            rows = {stream: load_stream(self._db, stream) for stream in Stream}
            self._summary = Summary.load(self._db)
        self._mark = self.last_mark
        if known is None:
            with self._db.transaction():
                self._db.set("epoch", new_epoch)
                self._summary.save(self._db)
        self._streams = {stream: _Stream(row, row.head.next_seq) for stream, row in rows.items()}
        self._saved_logs = {stream: row.ack_log for stream, row in rows.items()}
        for stream in Stream:
            self._recover(stream)
        if self._summary.unwritten >= EVERY:
            with contextlib.suppress(StoreFullError):
                with self._db.transaction():
                    self._summary.save(self._db)
                self._summary.unwritten = 0

    @property
    def epoch(self) -> Epoch:
        """The id of this store."""
        return self._epoch

    @property
    def last_mark(self) -> Mark:
        """Up to which body of which run the last commit before this start went."""
        return Mark() if self._previous is None else self._previous.mark

    def opening_gap(self, now_ms: int, *, spared_ms: int = 0) -> Gap | None:
        """Return the gap between what was kept before and now, or None on the very first start.

        Commit it with the first records: from then on the next start no longer knows of it.

        Args:
            spared_ms: up to when a copy in memory kept everything, in this boot.
        """
        boot = self._owner.boot
        if self._previous is None:
            if self._set_aside is None:
                return None
            return Gap(now_ms, GapReason.STORE_DAMAGED, boot, 0, now_ms)
        if self._previous.boot != boot:
            reason = GapReason.REBOOTED
        else:
            reason = GapReason.STOPPED if self._previous.clean else GapReason.KILLED
        from_ms = self._previous.safe_ms
        if self._previous.boot == boot:
            from_ms = max(from_ms, spared_ms)
        return Gap(now_ms, reason, self._previous.boot, from_ms, now_ms)

    def commit(self, bodies: Sequence[Body], *, now_ms: int, safe_ms: int) -> list[Record]:
        """Store bodies durably, all or none; return them, stream by stream, with their numbers.

        Args:
            bodies: in the order to number them.
            now_ms: CLOCK_BOOTTIME.
            safe_ms: every check that began before it is in the store, with these.
        """
        return self.commit_and_close(bodies, now_ms=now_ms, safe_ms=safe_ms).records

    def commit_and_close(
        self,
        bodies: Sequence[Body],
        *,
        now_ms: int,
        safe_ms: int,
        closing: Closing | None = None,
        mark: Mark | None = None,
    ) -> Committed:
        """Do as `commit`, and make segments of the blocks that are due, in one transaction.

        Where there is room for the records alone, no block is closed.

        Args:
            mark: which body of this run is the last of these, for who keeps a copy of them.
        """
        self._now_ms = now_ms
        mark = mark or self._mark
        try:
            written = self._commit(bodies, safe_ms, mark, closing)
        except StoreFullError:
            if closing is None:
                raise
            written = self._commit(bodies, safe_ms, mark, None)
        self._mark = mark
        self._acks_are_saved()
        sealed = []
        for one in written:
            if one.closed is not None:
                sealed.append(self._note_segments(one.stream, one.closed.head))
        self._accept(written)
        if self._is_first_commit:
            # Bits that rot in the WAL take commits back. Once there is a word of what was kept
            # in the file itself, the next start's gap tells of that; without, nothing would.
            self._is_first_commit = False
            with contextlib.suppress(StoreFullError):
                self._db.settle()
        return Committed([record for one in written for record in one.records], sealed)

    def seal_due(self, *, now_ms: int, live: bool) -> list[SealedRange]:
        """Close every block that is full or old enough; return what became segments.

        A full disk raises only if nothing could be closed: what was, is not to be missed.
        """
        due = [
            stream
            for stream, state in self._streams.items()
            if state.block is not None and self._is_due(state.block, now_ms, live=live)
        ]
        return self._seal_all(due)

    def seal(self, stream: Stream) -> SealedRange:
        """Close the open block of `stream` (there must be one) into a segment or several."""
        state = self._streams[stream]
        assert state.block is not None
        first, last = state.block.records[0].seq, state.block.records[-1].seq
        self._put(stream, state.block.close(state.row.head, self._keys.current))
        state.block = None
        return SealedRange(stream, first, last)

    def seal_open(self) -> list[SealedRange]:
        """Close every open block, however young; return what became segments."""
        return self._seal_all([s for s, t in self._streams.items() if t.block is not None])

    def open_records(self) -> dict[Stream, int]:
        """Return how many committed records are in open blocks."""
        return {s: len(t.block.records) if t.block else 0 for s, t in self._streams.items()}

    def held(self) -> list[SealedRange]:
        """Return the ranges of segments that have their body, adjacent ones merged."""
        return self._summary.ranges()

    def load(self, stream: Stream, seq: int) -> tuple[SealedRange, bytes] | None:
        """Return the segment that holds `seq`, or None if it is not here whole.

        One whose bytes no longer fit its header's hash, or its header its signature, is given
        up here, with a gap: no server would take it, however often it were sent.
        """
        with self._db.reading():
            row = find_segment(self._db, stream, seq)
            if row is None or row.body is None:
                if self._summary.held[stream].covers(seq, seq):
                    raise ValueError(f"the segment of {stream} {seq} is not there")
                return None
        data = row.header + row.body
        try:
            segment = parse_segment(data)
            signer = self._keys.publics().get(segment.header.signer, bytes(KEY_BYTES))
            verify_signature(segment, signer)
        except MalformedError:
            self._lose(row, with_header=False)
            return None
        except SignatureError:
            self._lose(row, with_header=True)
            return None
        return row.where, data

    def acks(self) -> dict[Stream, StreamAck]:
        """Return the last ack of each stream."""
        return {stream: state.row.ack for stream, state in self._streams.items()}

    def save_ack(self, stream: Stream, ack: StreamAck, *, now_ms: int) -> None:
        """Remember what the server has of `stream`; it may be less than before.

        More than before is written with the next commit (after `stop`, at once): an ack that
        a crash forgets is only asked for again. Less is written at once, since what is taken
        for acked goes without a gap; on a full disk it, too, waits for the next commit.
        """
        self._now_ms = now_ms
        state = self._streams[stream]
        less = acked_set(state.row.ack).difference(acked_set(ack))
        through = min((first - 1 for first, _ in ack.holes), default=ack.through)
        log = log_ack(state.row.ack_log, uptime_ms=self._uptime_ms(), through=through)
        state.row = replace(state.row, ack=ack, ack_log=log)
        self._unsaved_acks.add(stream)
        if less or self._is_stopped:
            with contextlib.suppress(StoreFullError):
                with self._db.transaction():
                    self._write_acks()
                self._acks_are_saved()

    def check_heads(self, heads: Heads) -> None:
        """See whether the server has another story of this store than the store itself.

        Then rot took commits back, or a card was put back from an image, and numbers were
        given out a second time.

        Args:
            heads: per stream the last seq of segments, and the SHA-256 of their headers in hex.
        Raises:
            StoreDamagedError: so it is; the next start begins a new epoch.
        """
        told = ((stream, *one) for stream, some in heads.items() for one in some)
        for stream, last, sha256 in told:
            with self._db.reading():
                row = find_segment(self._db, stream, last)
            is_ours = row is None or (
                row.where.last == last and hashlib.sha256(row.header).hexdigest() == sha256
            )
            if not is_ours or last >= self._streams[stream].row.head.next_seq:
                raise self._db.forked(stream)

    def remember(self, name: str, value: bytes) -> None:
        """Keep a small named value, durably. It must tell nothing of what was measured."""
        with self._db.transaction():
            self._db.set(f"kept.{name}", value)

    def recall(self, name: str) -> bytes | None:
        """Return what `remember` kept under a name, or None."""
        with self._db.reading():
            value = self._db.get(f"kept.{name}")
        return value if isinstance(value, bytes) else None

    def next_conn(self) -> int:
        """Return a connection number above all before, also after a power cut."""
        if self._conn == self._conn_reserved:
            with self._db.transaction():
                self._db.set("conn", self._conn + _CONN_STEP)
            self._conn_reserved += _CONN_STEP
        self._conn += 1
        return self._conn

    def make_room(self, now_ms: int) -> Thinned | None:
        """Give up what plan/retention chooses, and commit the gaps that say so.

        Returns:
            What went, or None if nothing could.
        """
        self._now_ms = now_ms
        try:
            thinned = self._thin()
        except StoreFullError:
            if not release_reserve(self._db.directory):
                raise
            thinned = self._thin()
        keep_reserve(self._db.directory)
        return thinned

    def room_is_short(self) -> bool:
        """Return whether the store is at its bound, or the disk at its floor.

        At the floor, only a file without room within is short: what was given up there is
        used again, so that the file grows no more.
        """
        used, free = self._db.pages()
        if used * PAGE_BYTES >= self._limits.bytes_max:
            return True
        directory = self._db.directory
        spare = 0 if has_reserve(directory) else 2 * RESERVE_BYTES
        floor = max(self._limits.free_bytes_min, spare)
        return free * PAGE_BYTES < _SPARE_BYTES and shutil.disk_usage(directory).free < floor

    def counts(self) -> StoreCounts:
        """Return how the store stands."""
        used, _ = self._db.pages()
        committed = {stream: state.next_seq - 1 for stream, state in self._streams.items()}
        bodies, segments = self._summary.bodies, self._summary.segments
        return StoreCounts(committed, used * PAGE_BYTES, bodies, segments - bodies)

    def stop(self, *, now_ms: int, safe_ms: int | None = None) -> list[SealedRange]:
        """Close every block and note a clean end; `load` and `save_ack` still work.

        Args:
            now_ms: CLOCK_BOOTTIME.
            safe_ms: as for `commit`; by default nothing was running any more.
        Returns:
            What became segments. What a full disk refuses to seal stays in the journal.
        """
        self._now_ms = now_ms
        sealed = []
        with contextlib.suppress(StoreFullError):
            sealed = self.seal_open()
        self._is_stopped = True
        with contextlib.suppress(StoreFullError):
            with self._db.transaction():
                self._note_last(now_ms if safe_ms is None else safe_ms, self._mark, clean=True)
                self._write_acks()
                self._summary.save(self._db)
            self._acks_are_saved()
        return sealed

    def close(self) -> None:
        """Close the file. No other method may be called afterwards."""
        self._db.close()

    # --- inside -------------------------------------------------------------

    def _seal_all(self, streams: Sequence[Stream]) -> list[SealedRange]:
        sealed: list[SealedRange] = []
        try:
            for stream in streams:
                sealed.append(self.seal(stream))
        except StoreFullError:
            if not sealed:
                raise
        return sealed

    def _thin(self) -> Thinned | None:
        acks = {s: AckState(t.row.ack, t.row.ack_log) for s, t in self._streams.items()}
        used, _ = self._db.pages()
        # A large store gives up more at once, since the choice means a look at all of it; a
        # small one on a disk that others filled must not lose all that it has.
        free_bytes = max(_SPARE_BYTES, used * PAGE_BYTES // 64)
        with self._db.transaction(), self._db.reading():
            choice = choose(self._db, acks, uptime_ms=self._uptime_ms(), free_bytes=free_bytes)
            if not choice.drop:
                return None
            lost = [SealedRange(s.stream, s.first_seq, s.last_seq) for s in choice.lost]
            gaps = self._gaps(lost, GapReason.STORE_FULL)
            after = self._summary.copy()
            give_up(self._db, choice, after)
            after.save(self._db)
            written = self._write(gaps)
        self._gave_up(after, written)
        dropped = tuple(SealedRange(s.stream, s.first_seq, s.last_seq) for s in choice.drop)
        return Thinned(dropped, gaps)

    def _commit(
        self, bodies: Sequence[Body], safe_ms: int, mark: Mark, closing: Closing | None
    ) -> list[_Written]:
        with self._db.transaction():
            # Before the streams: a block that is closed moves its chain's end, in the same row.
            self._write_acks()
            if is_summary_due := self._summary.unwritten >= EVERY:
                self._summary.save(self._db)
            written = self._write(bodies, closing)
            self._note_last(safe_ms, mark, clean=False)
        if is_summary_due:
            self._summary.unwritten = 0
        return written

    def _write(self, bodies: Sequence[Body], closing: Closing | None = None) -> list[_Written]:
        """Write bodies inside a transaction; `_accept` them once it is durable."""
        grouped: dict[Stream, list[Record]] = {}
        for body in bodies:
            stream = stream_of(body)
            records = grouped.setdefault(stream, [])
            records.append(Record(self._streams[stream].next_seq + len(records), body))
        written = []
        for stream in dict.fromkeys((*grouped, *Stream)):
            records = grouped.get(stream, [])
            block = self._streams[stream].block
            if block is None and records:
                since_ms = self._now_ms if closing is None else closing.since_ms
                block = self._new_block(stream, since_ms)
            if block is None:
                continue
            if closing is not None and self._is_due(
                block, self._now_ms + closing.ahead_ms, live=closing.live, more=len(records)
            ):
                written.append(self._close(stream, block, records))
            elif records:
                written.append(self._write_frames(stream, block, records))
        return written

    def _new_block(self, stream: Stream, since_ms: int) -> OpenBlock:
        context = self._context(stream, self._owner.boot)
        return OpenBlock.begin(context, self._owner.recipients, now_ms=since_ms)

    def _is_due(self, block: OpenBlock, by_ms: int, *, live: bool, more: int = 0) -> bool:
        """Return whether a block is full, with so many more records, or old enough by then."""
        limits = self._limits
        age_ms = limits.live_block_ms if live else limits.block_ms
        return (
            len(block.records) + more >= limits.block_records
            or block.frame_bytes >= limits.block_bytes
            or by_ms - block.began_ms >= age_ms
        )

    def _write_frames(
        self, stream: Stream, block: OpenBlock, records: Sequence[Record]
    ) -> _Written:
        if self._streams[stream].block is None:
            begin_block(self._db, stream, self._owner.boot, block.sealer.wraps)
        written = _Written(stream, block, records, block.seal_frames(records))
        for sealed in written.frames:
            insert_frame(self._db, stream, sealed)
        return written

    def _close(self, stream: Stream, block: OpenBlock, records: Sequence[Record]) -> _Written:
        """Make segments of a block and of records that are in no frame yet."""
        head = self._streams[stream].row.head
        segments = block.close(head, self._keys.current, more=records)
        return _Written(stream, block, records, closed=self._append(stream, segments))

    def _append(self, stream: Stream, segments: Sequence[bytes]) -> StreamRow:
        """Put segments at the end of the chain, inside a transaction; return the row then."""
        head = put_segments(self._db, stream, segments)
        row = replace(self._streams[stream].row, head=head)
        save_stream(self._db, stream, row)
        return row

    def _note_segments(self, stream: Stream, head: ChainHead) -> SealedRange:
        """Note the segments up to the chain's new end, before that is the stream's."""
        before = self._streams[stream].row.head
        where = SealedRange(stream, before.next_seq, head.next_seq - 1)
        self._summary.added(where, segments=head.next_position - before.next_position)
        return where

    def _accept(self, written: Sequence[_Written]) -> None:
        for one in written:
            state = self._streams[one.stream]
            if one.records:
                state.next_seq = one.records[-1].seq + 1
            if one.closed is not None:
                state.row, state.block = one.closed, None
            else:
                one.block.accept(one.records, one.frames)
                state.block = one.block

    def _put(self, stream: Stream, segments: Sequence[bytes]) -> None:
        """Put segments in place of the journal's frames, in one transaction."""
        with self._db.transaction():
            row = self._append(stream, segments)
        self._note_segments(stream, row.head)
        self._streams[stream].row = row

    def _recover(self, stream: Stream) -> None:
        """Make segments of the frames that the last run left in its journal."""
        with self._db.reading():
            before = self._streams[stream].row.head.next_seq
            journal = load_journal(self._db, stream, from_seq=before)
            if journal is None:
                return
            segments = segments_of_journal(
                self._context(stream, journal.boot),
                journal.wraps,
                journal.frames,
                head=self._streams[stream].row.head,
                key=self._keys.current,
            )
            self._put(stream, segments)
        state = self._streams[stream]
        state.next_seq = state.row.head.next_seq

    def _lose(self, row: SegmentRow, *, with_header: bool) -> None:
        """Give up a segment whose bytes are damaged; its header, if that is whole, stays."""
        with self._db.transaction(), self._db.reading():
            gaps = self._gaps([row.where], GapReason.STORE_DAMAGED)
            if with_header:
                # It says nothing of when that was; the numbers are all that is known.
                boot = self._owner.boot
                gaps = tuple(replace_struct(g, from_boot=boot, from_ms=0, to_ms=0) for g in gaps)
            thin_segment(self._db, row.where)
            after = self._summary.copy()
            after.thinned(row.where)
            after.save(self._db)
            written = self._write(gaps)
        self._gave_up(after, written)

    def _gave_up(self, after: Summary, written: Sequence[_Written]) -> None:
        """Go on with the summary that was just saved, and with the gaps that were written."""
        after.unwritten = 0
        self._summary = after
        self._accept(written)

    def _gaps(self, lost: Sequence[SealedRange], reason: GapReason) -> tuple[Gap, ...]:
        return gaps_of(self._db, lost, reason=reason, boot=self._owner.boot, now_ms=self._now_ms)

    def _context(self, stream: Stream, boot: BootId) -> FrameContext:
        return FrameContext(self._owner.probe, self._epoch, stream, boot)

    def _uptime_ms(self) -> int:
        before_ms = 0 if self._previous is None else self._previous.uptime_ms
        return before_ms + self._now_ms - self._started_ms

    def _write_acks(self) -> None:
        for stream in sorted(self._unsaved_acks):
            row = self._streams[stream].row
            save_stream(self._db, stream, row)
            if row.ack_log != self._saved_logs[stream]:
                save_ack_log(self._db, stream, row.ack_log)

    def _acks_are_saved(self) -> None:
        for stream in self._unsaved_acks:
            self._saved_logs[stream] = self._streams[stream].row.ack_log
        self._unsaved_acks.clear()

    def _note_last(self, safe_ms: int, mark: Mark, *, clean: bool) -> None:
        word = _LastWord(self._owner.boot, safe_ms, clean, self._uptime_ms(), mark)
        set_state(self._db, "last", msgspec.msgpack.encode(word))
