"""The store's SQL: rows of streams, frames and segments.

Functions that write belong inside a transaction of the caller's; those that
read, inside `reading` or `guarded`. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

FRAME_ROWS = 1 << 32
"""Rows of the journal that belong to one stream."""


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
class LeftBlock:
    """The frames of a block that was never closed."""

    boot: BootId
    wraps: bytes
    frames: tuple[SealedFrame, ...]


class _Chain(msgspec.Struct, frozen=True, array_like=True):
    """`chain.STREAM` in the table `state`."""

    next_seq: int
    next_position: int
    head_sha256: bytes
    ack_through: int
    ack_holes: tuple[tuple[int, int], ...]


class _Block(msgspec.Struct, frozen=True, array_like=True):
    """`block.STREAM` in the table `state`."""

    boot: str
    wraps: bytes


def get_state(db: Database, key: str) -> bytes | None:
    """Return a value of the page that every commit writes, or None."""
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def set_state(db: Database, key: str, value: bytes) -> None:
    """Keep a value in the page that every commit writes: a small one."""
    done = db.execute("UPDATE state SET value = ? WHERE key = ?", (value, key))
    if done.rowcount == 0:
        db.execute("INSERT INTO state VALUES (?, ?)", (key, value))


def load_stream(db: Database, stream: Stream) -> StreamRow:
    """Return the row of a stream; a new store has none, and its chain starts."""
    value = get_state(db, f"chain.{stream}")
    if value is None:
        return StreamRow(CHAIN_START, StreamAck(0), ())
    row = msgspec.msgpack.decode(value, type=_Chain)
    log = msgspec.json.decode(db.get(f"ack_log.{stream}") or b"[]", type=AckLog)
    head = ChainHead(
        next_position=row.next_position, previous_sha256=row.head_sha256, next_seq=row.next_seq
    )
    return StreamRow(head, StreamAck(row.ack_through, row.ack_holes), log)


def save_stream(db: Database, stream: Stream, row: StreamRow) -> None:
    """Keep the row of a stream, but for its log of acks."""
    head, ack = row.head, row.ack
    chain = _Chain(head.next_seq, head.next_position, head.previous_sha256, ack.through, ack.holes)
    set_state(db, f"chain.{stream}", msgspec.msgpack.encode(chain))


def save_ack_log(db: Database, stream: Stream, log: AckLog) -> None:
    """Keep since when the server has how much of a stream; it changes once an hour."""
    db.set(f"ack_log.{stream}", msgspec.json.encode(log))


def begin_block(db: Database, stream: Stream, boot: BootId, wraps: bytes) -> None:
    """Keep what opens the frames that follow."""
    set_state(db, f"block.{stream}", msgspec.msgpack.encode(_Block(boot, wraps)))


def frame_id(stream: Stream, counter: int) -> int:
    """Return the row of a stream's frame with that counter: the same in every block.

    So a block's frames go where those of the block before lay, and no page of them is freed
    and taken again.
    """
    return FRAME_ROWS * (1 + list(Stream).index(stream)) + counter


def insert_frame(db: Database, stream: Stream, sealed: SealedFrame) -> None:
    """Append a frame to the journal, in the place of one of the block before."""
    frame = sealed.frame
    db.execute(
        "INSERT OR REPLACE INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            frame_id(stream, frame.counter),
            stream,
            frame.counter,
            frame.first_seq,
            frame.last_seq,
            sealed.mono_first_ms,
            sealed.mono_last_ms,
            frame.ciphertext,
        ),
    )


def load_journal(db: Database, stream: Stream, *, from_seq: int) -> LeftBlock | None:
    """Return what the last run left of an open block, or None.

    Args:
        from_seq: where the chain of segments ends.
    """
    block = get_state(db, f"block.{stream}")
    rows = db.execute(
        "SELECT counter, first_seq, last_seq, data, mono_first, mono_last FROM frame "
        "WHERE stream = ? AND last_seq >= ? ORDER BY counter",
        (stream, from_seq),
    ).fetchall()
    if not block and not rows:
        return None
    if not block or not rows:
        raise ValueError(f"its journal of {stream} lacks its key or its frames")
    opened = msgspec.msgpack.decode(block, type=_Block)
    frames = tuple(SealedFrame(Frame(*row[:4]), row[4], row[5]) for row in rows)
    return LeftBlock(parse_boot_id(opened.boot), opened.wraps, frames)


def put_segments(db: Database, stream: Stream, segments: Sequence[bytes]) -> ChainHead:
    """Put segments in place of the open block; return the chain's new end."""
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
    if get_state(db, f"block.{stream}"):
        set_state(db, f"block.{stream}", b"")
    return head


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
