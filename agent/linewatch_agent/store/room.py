"""Making room in the store: applies the choice of plan/retention to the database.

What the server has is deleted whole; of the rest the signed header stays, so
that the chain stays whole, and a gap record says what was given up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from linewatch_agent.plan.retention import AckLog, Stored, acked_long_through, thin
from linewatch_agent.store.database import Database
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.header import parse_header
from linewatch_core.sync.messages import StreamAck
from linewatch_core.sync.uploader import acked_set


@dataclass(frozen=True, slots=True)
class SealedRange:
    """The sealed records first..last of `stream`."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AckState:
    """What the server has of a stream, and since when."""

    ack: StreamAck
    log: AckLog


@dataclass(frozen=True, slots=True)
class Thinned:
    """What went: ranges that can't be sent any more, and a gap for each that the server lacks."""

    dropped: tuple[SealedRange, ...]
    gaps: tuple[Gap, ...]


def make_room(
    db: Database, acks: Mapping[Stream, AckState], *, uptime_ms: int, now_ms: int, free_bytes: int
) -> Thinned | None:
    """Give up segment bodies of about `free_bytes`; None if there is nothing to give."""
    with db.transaction():
        choice = thin(_bodies(db, acks, uptime_ms), free_bytes=free_bytes)
        if not choice.drop:
            return None
        gaps = tuple(_gap(db, segment, now_ms) for segment in choice.lost)
        for segment in choice.drop:
            if segment.acked:
                db.execute("DELETE FROM segment WHERE id = ?", (segment.id,))
            else:
                db.execute("UPDATE segment SET body = NULL, body_bytes = 0 WHERE id = ?", (segment.id,))
    dropped = tuple(SealedRange(s.stream, s.first_seq, s.last_seq) for s in choice.drop)
    return Thinned(dropped, gaps)


def _bodies(db: Database, acks: Mapping[Stream, AckState], uptime_ms: int) -> list[Stored]:
    acked = {stream: acked_set(state.ack) for stream, state in acks.items()}
    long = {
        stream: acked_long_through(state.log, uptime_ms=uptime_ms) for stream, state in acks.items()
    }
    bodies = []
    for row_id, name, first, last, size in db.execute(
        "SELECT id, stream, first_seq, last_seq, body_bytes FROM segment "
        "WHERE body_bytes > 0 ORDER BY id"
    ):
        stream = Stream(name)
        here = acked[stream].covers(first, last)
        bodies.append(
            Stored(row_id, stream, first, last, size, here, here and last <= long[stream])
        )
    return bodies


def _gap(db: Database, segment: Stored, now_ms: int) -> Gap:
    row = db.execute("SELECT header FROM segment WHERE id = ?", (segment.id,)).fetchone()
    header = parse_header(row[0])
    return Gap(
        mono_ms=now_ms,
        reason=GapReason.STORE_FULL,
        from_boot=header.boot,
        from_ms=header.mono_first_ms,
        to_ms=header.mono_last_ms,
        stream=segment.stream,
        first_seq=segment.first_seq,
        last_seq=segment.last_seq,
    )
