"""Making room in the store: applies the choice of plan/retention to the database.

What the server has is deleted whole; of the rest the signed header stays, so
that the chain stays whole, and a gap record says what was given up. What writes
belongs inside a transaction of the caller's, who commits the gaps in it.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec.structs

from linewatch_agent.plan.retention import Stored, Thinning, acked_long_through, thin
from linewatch_agent.store.database import PAGE_BYTES, Database
from linewatch_agent.store.reserve import RESERVE_BYTES, has_reserve
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.tables import (
    SealedRange,
    SegmentRow,
    StreamRow,
    delete_segment,
    find_segment,
    thin_segment,
)
from linewatch_agent.store.values import StoreLimits
from linewatch_core.ids import BootId
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.header import parse_header
from linewatch_core.sync.acks import acked_set

_SPARE_BYTES = 128 * 1024
"""Room within the file that counts as enough on a disk at its floor: some hours of default load."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """What went: ranges that can't be sent any more, and the gaps that were committed for
    those that the server lacks."""

    dropped: tuple[SealedRange, ...]
    gaps: tuple[Gap, ...]


def is_short(db: Database, limits: StoreLimits) -> bool:
    """Return whether the store is at its bound, or the disk at its floor.

    At the floor, only a file without room within is short: what was given up there is
    used again, so that the file grows no more.
    """
    used, free = db.pages()
    if used * PAGE_BYTES >= limits.bytes_max:
        return True
    spare = 0 if has_reserve(db.directory) else 2 * RESERVE_BYTES
    floor = max(limits.free_bytes_min, spare)
    return free * PAGE_BYTES < _SPARE_BYTES and shutil.disk_usage(db.directory).free < floor


def give_up_some(
    db: Database,
    summary: Summary,
    rows: Mapping[Stream, StreamRow],
    *,
    boot: BootId,
    now_ms: int,
    uptime_ms: int,
) -> Thinned | None:
    """Give up some of what is held, noting it in `summary`; None: nothing could be given up.

    Args:
        rows: what the server has of each stream.
        uptime_ms: as the log of acks counts it.
    """
    used, _ = db.pages()
    # A large store gives up more at once, since the choice means a look at all of it; a
    # small one on a disk that others filled must not lose all that it has.
    free_bytes = max(_SPARE_BYTES, used * PAGE_BYTES // 64)
    choice = thin(_bodies(db, rows, uptime_ms), free_bytes=free_bytes)
    if not choice.drop:
        return None
    lost = [_range_of(segment) for segment in choice.lost]
    gaps = _gaps_of(db, lost, reason=GapReason.STORE_FULL, boot=boot, now_ms=now_ms)
    _give_up(db, choice, summary)
    return Thinned(tuple(map(_range_of, choice.drop)), gaps)


def give_up_damaged(
    db: Database,
    summary: Summary,
    row: SegmentRow,
    *,
    boot: BootId,
    now_ms: int,
    header_is_whole: bool,
) -> tuple[Gap, ...]:
    """Give up a segment whose bytes are damaged; its header stays, whole or not."""
    gaps = _gaps_of(db, [row.where], reason=GapReason.STORE_DAMAGED, boot=boot, now_ms=now_ms)
    if not header_is_whole:
        # It says nothing of when that was; the numbers are all that is known.
        gaps = tuple(
            msgspec.structs.replace(gap, from_boot=boot, from_ms=0, to_ms=0) for gap in gaps
        )
    thin_segment(db, row.where)
    summary.thinned(row.where)
    return gaps


def _give_up(db: Database, choice: Thinning, summary: Summary) -> None:
    for segment in choice.drop:
        where = _range_of(segment)
        if segment.acked:
            delete_segment(db, where)
            summary.deleted(where)
        else:
            thin_segment(db, where)
            summary.thinned(where)


def _range_of(segment: Stored) -> SealedRange:
    return SealedRange(segment.stream, segment.first_seq, segment.last_seq)


def _gaps_of(
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


def _bodies(db: Database, rows: Mapping[Stream, StreamRow], uptime_ms: int) -> Iterable[Stored]:
    acked = {stream: acked_set(row.ack) for stream, row in rows.items()}
    long = {
        stream: acked_long_through(row.ack_log, uptime_ms=uptime_ms) for stream, row in rows.items()
    }
    for row_id, name, first, last, size in db.execute(
        "SELECT id, stream, first_seq, last_seq, body_bytes FROM segment "
        "WHERE body_bytes > 0 ORDER BY id"
    ):
        stream = Stream(name)
        here = acked[stream].covers(first, last)
        yield Stored(row_id, stream, first, last, size, here, here and last <= long[stream])
