"""What segments the store has, kept beside them: a start on a full store must not list them.

The summary covers the segments up to an id; a start reads those beyond it. Whatever
takes a segment or its body away writes the summary anew in the same transaction. One
that cannot be read, or was never written, costs a look at all segments.
"""

import zlib
from dataclasses import dataclass, field

import msgspec

from linewatch_agent.store.database import Database
from linewatch_agent.store.tables import SealedRange
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream

EVERY = 1_000
"""Segments after which it is written anew: so many at most are read at a start."""
_KEY = "summary"
_CHECK_BYTES = 4


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    through_id: int
    bodies: int
    segments: int
    ranges: dict[Stream, list[tuple[int, int]]]


@dataclass(slots=True)
class Summary:
    """What is in the table of segments.

    Attributes:
        held: the numbers whose segment has its body.
        bodies: how many segments have their body.
        segments: how many there are, thinned ones too.
    """

    held: dict[Stream, SeqSet] = field(default_factory=lambda: {s: SeqSet() for s in Stream})
    bodies: int = 0
    segments: int = 0
    unwritten: int = 0

    @classmethod
    def load(cls, db: Database) -> "Summary":
        """Return what the database has."""
        summary, through_id = cls(), 0
        kept = _decoded(db.get(_KEY))
        if kept is not None:
            through_id = kept.through_id
            summary.bodies, summary.segments = kept.bodies, kept.segments
            summary.held |= {stream: SeqSet(ranges) for stream, ranges in kept.ranges.items()}
        # All of them are in the covering index, without their bodies. SQLite would read all of
        # that also for the last few, which their ids find at once.
        how = "INDEXED BY segment_range" if kept is None else "NOT INDEXED"
        for stream, first, last, size in db.execute(
            f"SELECT stream, first_seq, last_seq, body_bytes FROM segment {how} WHERE id > ?",
            (through_id,),
        ):
            # What takes a body away writes the summary: a later segment without one has rotted,
            # and `Store.load` says so.
            has_body = size > 0 or kept is not None
            summary.added(SealedRange(Stream(stream), first, last), has_body=has_body)
        return summary

    def save(self, db: Database) -> None:
        """Keep it, inside a transaction in which nothing is added to it any more."""
        (through_id,) = db.execute("SELECT coalesce(max(id), 0) FROM segment").fetchone()
        ranges = {stream: list(numbers) for stream, numbers in self.held.items()}
        data = msgspec.msgpack.encode(_Kept(through_id, self.bodies, self.segments, ranges))
        db.set(_KEY, zlib.crc32(data).to_bytes(_CHECK_BYTES, "big") + data)

    def added(self, where: SealedRange, *, segments: int = 1, has_body: bool = True) -> None:
        """Note new segments that hold first..last."""
        self.segments += segments
        self.unwritten += segments
        if has_body:
            self.bodies += segments
            self.held[where.stream].add(where.first, where.last)

    def thinned(self, where: SealedRange) -> None:
        """Note that a segment's body is gone."""
        self.bodies -= 1
        self.held[where.stream].discard(where.first, where.last)

    def deleted(self, where: SealedRange) -> None:
        """Note that a segment with its body is gone."""
        self.thinned(where)
        self.segments -= 1

    def copy(self) -> "Summary":
        """Return another one, to be changed inside a transaction that may fail."""
        held = {stream: SeqSet(numbers) for stream, numbers in self.held.items()}
        return Summary(held, self.bodies, self.segments, self.unwritten)

    def take_over(self, saved: "Summary") -> None:
        """Go on as one that was changed and saved in a transaction that is durable now."""
        self.held, self.bodies, self.segments = saved.held, saved.bodies, saved.segments
        self.unwritten = 0

    def ranges(self) -> list[SealedRange]:
        """Return what is held whole, stream by stream."""
        return [
            SealedRange(stream, first, last)
            for stream in sorted(self.held)
            for first, last in self.held[stream]
        ]


def _decoded(value: object) -> _Kept | None:
    if not isinstance(value, bytes) or len(value) < _CHECK_BYTES:
        return None
    check, data = value[:_CHECK_BYTES], value[_CHECK_BYTES:]
    if zlib.crc32(data).to_bytes(_CHECK_BYTES, "big") != check:
        return None
    try:
        return msgspec.msgpack.decode(data, type=_Kept)
    except msgspec.MsgspecError:
        return None
