"""The open block of each stream, and the numbers that its records get.

`write` belongs inside a transaction of the caller's, and `accept` after it; until then
nothing has changed here, so a transaction that fails leaves no trace. `seal` and `recover`
are transactions of their own. A block becomes segments at the end of its chain, in place
of its frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from linewatch_agent.store.blocks import OpenBlock, SealedFrame, segments_of_journal
from linewatch_agent.store.chains import Chains
from linewatch_agent.store.database import Database
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.tables import SealedRange, begin_block, insert_frame, load_journal
from linewatch_agent.store.values import Closing, Owner, StoreLimits
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body, Record, Stream, stream_of
from linewatch_core.segment.chain import ChainHead
from linewatch_core.segment.sealing import FrameContext


@dataclass(frozen=True, slots=True)
class Written:
    """Records in an open transaction, and their frames; or the chain's new end, if their
    block was closed with them."""

    stream: Stream
    block: OpenBlock
    records: Sequence[Record]
    frames: list[SealedFrame] = field(default_factory=list)
    closed: ChainHead | None = None


class Journal:
    """What is committed and not yet in a segment."""

    def __init__(
        self,
        db: Database,
        chains: Chains,
        summary: Summary,
        *,
        owner: Owner,
        epoch: Epoch,
        keys: SigningKeys,
        limits: StoreLimits,
    ) -> None:
        """Number on from the ends of the chains; call `recover` first of all.

        `summary` is told of new segments.
        """
        self._db = db
        self._chains = chains
        self._summary = summary
        self._owner = owner
        self._epoch = epoch
        self._keys = keys
        self._limits = limits
        self._next_seq = {stream: chains.head(stream).next_seq for stream in Stream}
        self._blocks: dict[Stream, OpenBlock] = {}

    def committed(self) -> dict[Stream, int]:
        """Return how many records were ever committed."""
        return {stream: next_seq - 1 for stream, next_seq in self._next_seq.items()}

    def open_records(self) -> dict[Stream, int]:
        """Return how many committed records are in open blocks."""
        blocks = self._blocks
        return {s: len(blocks[s].records) if s in blocks else 0 for s in Stream}

    def due(self, now_ms: int, *, live: bool) -> list[Stream]:
        """Return the streams whose block is full or old enough."""
        blocks = self._blocks
        return [s for s in Stream if s in blocks and self._is_due(blocks[s], now_ms, live=live)]

    def write(
        self, bodies: Iterable[Body], *, now_ms: int, closing: Closing | None = None
    ) -> list[Written]:
        """Write bodies inside a transaction, and close the blocks that `closing` makes due."""
        grouped: dict[Stream, list[Record]] = {}
        for body in bodies:
            stream = stream_of(body)
            records = grouped.setdefault(stream, [])
            records.append(Record(self._next_seq[stream] + len(records), body))
        written = []
        for stream in dict.fromkeys((*grouped, *Stream)):
            records = grouped.get(stream, [])
            block = self._blocks.get(stream)
            if block is None and records:
                block = self._new_block(stream, now_ms if closing is None else closing.since_ms)
            if block is None:
                continue
            if closing is not None and self._is_due(
                block, now_ms + closing.ahead_ms, live=closing.live, more=len(records)
            ):
                head = self._close(stream, block, records)
                written.append(Written(stream, block, records, closed=head))
            elif records:
                written.append(self._write_frames(stream, block, records))
        return written

    def accept(self, written: Iterable[Written]) -> list[SealedRange]:
        """Go on from what is durable now; return what became segments."""
        sealed = []
        for one in written:
            if one.records:
                self._next_seq[one.stream] = one.records[-1].seq + 1
            if one.closed is not None:
                sealed.append(self._closed(one.stream, one.closed))
            else:
                one.block.accept(one.records, one.frames)
                self._blocks[one.stream] = one.block
        return sealed

    def seal(self, stream: Stream) -> SealedRange:
        """Close the open block of `stream` (there must be one) into a segment or several."""
        with self._db.transaction():
            head = self._close(stream, self._blocks[stream])
        return self._closed(stream, head)

    def recover(self) -> None:
        """Make segments of the frames that the last run left, as they are."""
        for stream in Stream:
            self._recover(stream)

    def _recover(self, stream: Stream) -> None:
        head = self._chains.head(stream)
        with self._db.reading():
            left = load_journal(self._db, stream, from_seq=head.next_seq)
            if left is None:
                return
            segments = segments_of_journal(
                self._context(stream, left.boot),
                left.wraps,
                left.frames,
                head=head,
                key=self._keys.current,
            )
            with self._db.transaction():
                after = self._chains.append(stream, segments)
        self._closed(stream, after)
        self._next_seq[stream] = after.next_seq

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

    def _write_frames(self, stream: Stream, block: OpenBlock, records: Sequence[Record]) -> Written:
        if stream not in self._blocks:
            begin_block(self._db, stream, self._owner.boot, block.sealer.wraps)
        written = Written(stream, block, records, block.seal_frames(records))
        for sealed in written.frames:
            insert_frame(self._db, stream, sealed)
        return written

    def _close(self, stream: Stream, block: OpenBlock, records: Sequence[Record] = ()) -> ChainHead:
        """Write segments of a block and of records that are in no frame yet."""
        segments = block.close(self._chains.head(stream), self._keys.current, more=records)
        return self._chains.append(stream, segments)

    def _closed(self, stream: Stream, head: ChainHead) -> SealedRange:
        """Go on without the block whose segments are durable now, up to a chain's new end."""
        before = self._chains.head(stream)
        self._chains.move(stream, head)
        self._blocks.pop(stream, None)
        where = SealedRange(stream, before.next_seq, head.next_seq - 1)
        self._summary.added(where, segments=head.next_position - before.next_position)
        return where

    def _context(self, stream: Stream, boot: BootId) -> FrameContext:
        return FrameContext(self._owner.probe, self._epoch, stream, boot)
