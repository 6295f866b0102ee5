"""The journal and the segments: a committed record survives, sealed from its first write.

Records are committed in groups as frames of an open block. A full block
becomes one signed, chained segment in the transaction that removes its
frames; after a power cut the frames that are left become a segment as they
are. Each call is a transaction at most; what belongs to one is in `journal.py`,
`chains.py`, `room.py` and `run_notes.py`. Synchronous; `writer.py` gives it a thread.
Source: docs/wire-format.md.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from linewatch_agent.store.chains import Chains
from linewatch_agent.store.database import PAGE_BYTES, StoreDamagedError, StoreFullError
from linewatch_agent.store.journal import Journal, Written
from linewatch_agent.store.kept import Kept
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.opening import Opened, open_database
from linewatch_agent.store.reserve import keep_reserve, release_reserve
from linewatch_agent.store.room import Thinned, give_up_damaged, give_up_some, is_short
from linewatch_agent.store.run_notes import RunNotes
from linewatch_agent.store.spare import Mark
from linewatch_agent.store.summary import EVERY, Summary
from linewatch_agent.store.tables import SealedRange, SegmentRow, find_segment
from linewatch_agent.store.values import Closing, Committed, Owner, StoreCounts, StoreLimits
from linewatch_core.errors import MalformedError, SignatureError
from linewatch_core.ids import Epoch, parse_epoch
from linewatch_core.records import Body, Gap, Record, Stream
from linewatch_core.segment.segment import parse_segment, verify_signature
from linewatch_core.segment.signing import KEY_BYTES
from linewatch_core.sync.messages import Heads, StreamAck


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
        self._now_ms = now_ms
        self._is_new = opened.set_aside is None
        self._is_stopped = False
        with self._db.reading():
            known = self._db.get("epoch")
            self._epoch = new_epoch if known is None else parse_epoch(known)
            self._notes = RunNotes(self._db, boot=owner.boot, now_ms=now_ms)
            self.kept = Kept(self._db)
            self._chains = Chains(self._db)
            self._summary = Summary.load(self._db)
        self._mark = self._notes.last_mark
        self._is_first_commit = self._notes.are_first
        if known is None:
            with self._db.transaction():
                self._db.set("epoch", new_epoch)
                self._summary.save(self._db)
        self._journal = Journal(
            self._db,
            self._chains,
            self._summary,
            owner=owner,
            epoch=self._epoch,
            keys=keys,
            limits=limits,
        )
        self._journal.recover()
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
        return self._notes.last_mark

    def opening_gap(self, now_ms: int, *, spared_ms: int = 0) -> Gap | None:
        """Return the gap between what was kept before and now, or None on the very first start.

        Commit it with the first records: from then on the next start no longer knows of it.

        Args:
            spared_ms: up to when a copy in memory kept everything, in this boot.
        """
        return self._notes.opening_gap(now_ms, spared_ms=spared_ms, is_new=self._is_new)

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
        self._chains.acks_are_saved()
        sealed = self._journal.accept(written)
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
        return self._seal_all(self._journal.due(now_ms, live=live))

    def seal(self, stream: Stream) -> SealedRange:
        """Close the open block of `stream` (there must be one) into a segment or several."""
        return self._journal.seal(stream)

    def seal_open(self) -> list[SealedRange]:
        """Close every open block, however young; return what became segments."""
        return self._seal_all([stream for stream, count in self.open_records().items() if count])

    def open_records(self) -> dict[Stream, int]:
        """Return how many committed records are in open blocks."""
        return self._journal.open_records()

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
            self._lose(row, header_is_whole=True)
            return None
        except SignatureError:
            self._lose(row, header_is_whole=False)
            return None
        return row.where, data

    def acks(self) -> dict[Stream, StreamAck]:
        """Return the last ack of each stream."""
        return {stream: row.ack for stream, row in self._chains.rows.items()}

    def save_ack(self, stream: Stream, ack: StreamAck, *, now_ms: int) -> None:
        """Remember what the server has of `stream`; it may be less than before.

        More than before is written with the next commit (after `stop`, at once): an ack that
        a crash forgets is only asked for again. Less is written at once, since what is taken
        for acked goes without a gap; on a full disk it, too, waits for the next commit.
        """
        self._now_ms = now_ms
        is_less = self._chains.take_ack(stream, ack, uptime_ms=self._notes.uptime_ms(now_ms))
        if is_less or self._is_stopped:
            with contextlib.suppress(StoreFullError):
                with self._db.transaction():
                    self._chains.write_acks()
                self._chains.acks_are_saved()

    def check_heads(self, heads: Heads) -> None:
        """See whether the server has another story of this store than the store itself.

        Then rot took commits back, or a card was put back from an image, and numbers were
        given out a second time.

        Args:
            heads: per stream the last seq of segments, and the SHA-256 of their headers in hex.
        Raises:
            StoreDamagedError: so it is; the next start begins a new epoch.
        """
        self._chains.check_heads(heads)

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
        """Return whether the store is at its bound, or the disk at its floor."""
        return is_short(self._db, self._limits)

    def counts(self) -> StoreCounts:
        """Return how the store stands."""
        used, _ = self._db.pages()
        bodies, segments = self._summary.bodies, self._summary.segments
        return StoreCounts(self._journal.committed(), used * PAGE_BYTES, bodies, segments - bodies)

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
                safe_ms = now_ms if safe_ms is None else safe_ms
                self._notes.write(now_ms=now_ms, safe_ms=safe_ms, mark=self._mark, clean=True)
                self._chains.write_acks()
                self._summary.save(self._db)
            self._chains.acks_are_saved()
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

    def _commit(
        self, bodies: Sequence[Body], safe_ms: int, mark: Mark, closing: Closing | None
    ) -> list[Written]:
        with self._db.transaction():
            # Before the records: a block that is closed moves its chain's end, in the same row.
            self._chains.write_acks()
            if is_summary_due := self._summary.unwritten >= EVERY:
                self._summary.save(self._db)
            written = self._journal.write(bodies, now_ms=self._now_ms, closing=closing)
            self._notes.write(now_ms=self._now_ms, safe_ms=safe_ms, mark=mark, clean=False)
        if is_summary_due:
            self._summary.unwritten = 0
        return written

    def _thin(self) -> Thinned | None:
        after = self._summary.copy()
        with self._db.transaction(), self._db.reading():
            thinned = give_up_some(
                self._db,
                after,
                self._chains.rows,
                boot=self._owner.boot,
                now_ms=self._now_ms,
                uptime_ms=self._notes.uptime_ms(self._now_ms),
            )
            if thinned is None:
                return None
            written = self._tell(after, thinned.gaps)
        self._gave_up(after, written)
        return thinned

    def _lose(self, row: SegmentRow, *, header_is_whole: bool) -> None:
        after = self._summary.copy()
        with self._db.transaction(), self._db.reading():
            gaps = give_up_damaged(
                self._db,
                after,
                row,
                boot=self._owner.boot,
                now_ms=self._now_ms,
                header_is_whole=header_is_whole,
            )
            written = self._tell(after, gaps)
        self._gave_up(after, written)

    def _tell(self, after: Summary, gaps: Sequence[Gap]) -> list[Written]:
        """Write what is left, and the gaps, in the transaction that gave up the rest."""
        after.save(self._db)
        return self._journal.write(gaps, now_ms=self._now_ms)

    def _gave_up(self, after: Summary, written: Sequence[Written]) -> None:
        """Go on with the summary that was just saved, and with the gaps that were written."""
        self._summary.take_over(after)
        self._journal.accept(written)
