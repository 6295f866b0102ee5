"""Making room in the store: applies the choice of plan/retention to the database.

What the server has is deleted whole; of the rest the signed header stays, so
that the chain stays whole, and a gap record says what was given up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec.structs

from linewatch_agent.plan.retention import AckLog, Stored, Thinning, acked_long_through, thin
from linewatch_agent.store.database import Database
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.tables import SealedRange, delete_segment, find_segment, thin_segment
from linewatch_core.ids import BootId
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.header import parse_header
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import StreamAck


@dataclass(frozen=True, slots=True)
class AckState:
    """What the server has of a stream, and since when."""

    ack: StreamAck
    log: AckLog


@dataclass(frozen=True, slots=True)
class Thinned:
    """What went: ranges that can't be sent any more, and the gaps that were committed for
    those that the server lacks."""

    dropped: tuple[SealedRange, ...]
    gaps: tuple[Gap, ...]


def choose(
    db: Database, acks: Mapping[Stream, AckState], *, uptime_ms: int, free_bytes: int
) -> Thinning:
    """Choose bodies of about `free_bytes` to give up."""
    return thin(_bodies(db, acks, uptime_ms), free_bytes=free_bytes)


def give_up(db: Database, choice: Thinning, summary: Summary) -> None:
    """Delete or thin what was chosen, inside the caller's transaction; note it in `summary`."""
    for segment in choice.drop:
        where = SealedRange(segment.stream, segment.first_seq, segment.last_seq)
        if segment.acked:
            delete_segment(db, where)
            summary.deleted(where)
        else:
            thin_segment(db, where)
            summary.thinned(where)


def gaps_of(
    db: Database, lost: Iterable[SealedRange], *, reason: GapReason, boot: BootId, now_ms: int
) -> tuple[Gap, ...]:
    """Return the gaps that name `lost` segments, neighbours of one boot in one.

    A gap ends in the boot of its own record: one of an earlier boot ends where
    this boot began. Its seqs say exactly what went.
    """
    gaps: list[Gap] = []
    for where in sorted(lost, key=lambda one: (one.stream, one.first)):
        row = find_segment(db, where.stream, where.first)
        assert row is not None
        header = parse_header(row.header)
        to_ms = header.mono_last_ms if header.boot == boot else 0
        last = gaps[-1] if gaps else None
        if (
            last is not None
            and (last.stream, last.from_boot) == (where.stream, header.boot)
            and last.last_seq == where.first - 1
        ):
            gaps[-1] = msgspec.structs.replace(
                last, to_ms=max(last.to_ms, to_ms), last_seq=where.last
            )
            continue
        gaps.append(
            Gap(
                mono_ms=now_ms,
                reason=reason,
                from_boot=header.boot,
                from_ms=header.mono_first_ms,
                to_ms=to_ms,
                stream=where.stream,
                first_seq=where.first,
                last_seq=where.last,
            )
        )
    return tuple(gaps)


def _bodies(db: Database, acks: Mapping[Stream, AckState], uptime_ms: int) -> Iterable[Stored]:
    acked = {stream: acked_set(state.ack) for stream, state in acks.items()}
    long = {
        stream: acked_long_through(state.log, uptime_ms=uptime_ms) for stream, state in acks.items()
    }
    for row_id, name, first, last, size in db.execute(
        "SELECT id, stream, first_seq, last_seq, body_bytes FROM segment "
        "WHERE body_bytes > 0 ORDER BY id"
    ):
        stream = Stream(name)
        here = acked[stream].covers(first, last)
        yield Stored(row_id, stream, first, last, size, here, here and last <= long[stream])
