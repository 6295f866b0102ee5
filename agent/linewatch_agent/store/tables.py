"""The store's SQL: rows of streams, frames and segments.

Functions that write belong inside a transaction of the caller's; those that
read, inside `reading` or `guarded`. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from linewatch_agent.plan.retention import AckLog
from linewatch_agent.store.blocks import SealedFrame
from linewatch_agent.store.database import Database
from linewatch_core.ids import BootId, parse_boot_id
from linewatch_core.records import Stream
from linewatch_core.segment.chain import CHAIN_START, ChainHead, head_after
from linewatch_core.segment.sealing import Frame
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.messages import StreamAck


@dataclass(frozen=True, slots=True)
class SealedRange:
    """The sealed records first..last of `stream`."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StreamRow:
    """Where a stream's chain of segments ends, and what the server has of it."""

    head: ChainHead
    ack: StreamAck
    ack_log: AckLog


@dataclass(frozen=True, slots=True)
class Journal:
    """The frames of a block that was never closed."""

    boot: BootId
    wraps: bytes
    frames: tuple[SealedFrame, ...]


def load_stream(db: Database, stream: Stream) -> StreamRow:
    """Return the row of a stream; a new store has none, and its chain starts."""
    row = db.execute(
        "SELECT next_seq, next_position, head_sha256, ack_through, ack_holes, ack_log "
        "FROM stream WHERE stream = ?",
        (stream,),
    ).fetchone()
    if row is None:
        return StreamRow(CHAIN_START, StreamAck(0), ())
    holes = msgspec.json.decode(row[4], type=tuple[tuple[int, int], ...])
    log = msgspec.json.decode(row[5], type=AckLog)
    return StreamRow(ChainHead(row[1], row[2], row[0]), StreamAck(row[3], holes), log)


def save_stream(db: Database, stream: Stream, row: StreamRow) -> None:
    """Keep the row of a stream."""
    db.execute(
        "INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            stream,
            row.head.next_seq,
            row.head.next_position,
            row.head.previous_sha256,
            row.ack.through,
            msgspec.json.encode(row.ack.holes).decode(),
            msgspec.json.encode(row.ack_log).decode(),
        ),
    )


def begin_block(db: Database, stream: Stream, boot: BootId, wraps: bytes) -> None:
    """Keep what opens the frames that follow."""
    db.execute("INSERT INTO block VALUES (?, ?, ?)", (stream, boot, wraps))


def insert_frame(db: Database, stream: Stream, sealed: SealedFrame) -> None:
    """Append a frame to the journal."""
    frame = sealed.frame
    db.execute(
        "INSERT INTO frame (stream, counter, first_seq, last_seq, mono_first, mono_last, data) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
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


def load_journal(db: Database, stream: Stream) -> Journal | None:
    """Return what the last run left of an open block, or None."""
    block = db.execute("SELECT boot, wraps FROM block WHERE stream = ?", (stream,)).fetchone()
    rows = db.execute(
        "SELECT counter, first_seq, last_seq, data, mono_first, mono_last FROM frame "
        "WHERE stream = ? ORDER BY counter",
        (stream,),
    ).fetchall()
    if block is None and not rows:
        return None
    if block is None or not rows:
        raise ValueError(f"its journal of {stream} lacks its key or its frames")
    frames = tuple(SealedFrame(Frame(*row[:4]), row[4], row[5]) for row in rows)
    return Journal(parse_boot_id(block[0]), block[1], frames)


def put_segments(db: Database, stream: Stream, segments: Sequence[bytes]) -> ChainHead:
    """Put segments in place of the journal's frames; return the chain's new end."""
    head = CHAIN_START
    for data in segments:
        segment = parse_segment(data)
        header, split = segment.header, segment.header_bytes
        head = head_after(header)
        db.execute(
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
    db.execute("DELETE FROM frame WHERE stream = ?", (stream,))
    db.execute("DELETE FROM block WHERE stream = ?", (stream,))
    return head


def held_ranges(db: Database) -> list[SealedRange]:
    """Return the ranges of segments that have their body, adjacent ones merged."""
    ranges: list[SealedRange] = []
    for name, first, last in db.execute(
        "SELECT stream, first_seq, last_seq FROM segment WHERE body_bytes > 0 "
        "ORDER BY stream, first_seq"
    ):
        if ranges and ranges[-1].stream == name and ranges[-1].last == first - 1:
            ranges[-1] = replace(ranges[-1], last=last)
        else:
            ranges.append(SealedRange(Stream(name), first, last))
    return ranges


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment as it is kept; `body` is None if it was thinned."""

    where: SealedRange
    header: bytes
    body: bytes | None


def find_segment(db: Database, stream: Stream, seq: int) -> SegmentRow | None:
    """Return the segment that holds `seq`, or None."""
    row = db.execute(
        "SELECT first_seq, last_seq, header, body FROM segment "
        "WHERE stream = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
        (stream, seq),
    ).fetchone()
    if row is None or row[1] < seq:
        return None
    return SegmentRow(SealedRange(stream, row[0], row[1]), row[2], row[3])


def thin_segment(db: Database, where: SealedRange) -> None:
    """Give up the body of the segment that begins at `where.first`."""
    db.execute(
        "UPDATE segment SET body = NULL, body_bytes = 0 WHERE stream = ? AND first_seq = ?",
        (where.stream, where.first),
    )


def delete_segment(db: Database, where: SealedRange) -> None:
    """Delete the segment that begins at `where.first`, header and all."""
    db.execute(
        "DELETE FROM segment WHERE stream = ? AND first_seq = ?", (where.stream, where.first)
    )
