"""SQL of the segments' headers: what is held, where it lies, what stands beside it in the chain."""

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.header import Header, encode_header, header_sha256, parse_header
from linewatch_server.model.entries import Location


class SegmentState(StrEnum):
    """Whether a stored segment's records are in the index.

    sealed: this server holds no key for it. unreadable: it holds one, and the
    segment does not open or does not hold what its header says.
    """

    OPENED = "opened"
    SEALED = "sealed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The stored headers at the chain positions right before and after one; None if not held."""

    before: Header | None
    after: Header | None


def insert_segment(
    db: sqlite3.Connection,
    header: Header,
    location: Location,
    arrival_ms: int,
    *,
    state: SegmentState,
    problem: str | None,
) -> None:
    """Store a segment's header and add its numbers to the coverage."""
    stream = (header.probe, header.epoch, header.stream)
    db.execute(
        "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *stream,
            header.first_seq,
            header.last_seq,
            header.position,
            header.boot,
            header.mono_first_ms,
            header.mono_last_ms,
            header_sha256(header),
            encode_header(header),
            state,
            problem,
            location.pack,
            location.offset,
            arrival_ms,
        ),
    )
    db.execute(
        "INSERT INTO stream_totals VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET records = records + excluded.records",
        (*stream, state, header.count),
    )
    db.execute(
        "INSERT INTO arrivals VALUES (?, ?) ON CONFLICT DO UPDATE"
        " SET arrival_ms = max(arrival_ms, excluded.arrival_ms)",
        (header.probe, arrival_ms),
    )
    _cover(db, stream, header.first_seq, header.last_seq)


def _cover(
    db: sqlite3.Connection, stream: tuple[str, str, str], first_seq: int, last_seq: int
) -> None:
    """Merge a range into the coverage; it touches at most its two neighbours."""
    touching = (*stream, last_seq + 1, first_seq - 1)
    where = " WHERE probe = ? AND epoch = ? AND stream = ? AND first_seq <= ? AND last_seq >= ?"
    least, greatest = db.execute(
        "SELECT min(first_seq), max(last_seq) FROM coverage" + where, touching
    ).fetchone()
    if least is not None:
        db.execute("DELETE FROM coverage" + where, touching)
        first_seq, last_seq = min(first_seq, least), max(last_seq, greatest)
    db.execute("INSERT INTO coverage VALUES (?, ?, ?, ?, ?)", (*stream, first_seq, last_seq))


def holds_header(db: sqlite3.Connection, header: Header) -> bool:
    """Return whether a segment with this very header is stored."""
    row = db.execute(
        "SELECT header_sha256 FROM segments"
        " WHERE probe = ? AND epoch = ? AND stream = ? AND first_seq = ?",
        (header.probe, header.epoch, header.stream, header.first_seq),
    ).fetchone()
    return row is not None and row[0] == header_sha256(header)


def overlaps_stored(db: sqlite3.Connection, header: Header) -> bool:
    """Return whether any number of the segment's is stored already."""
    row = db.execute(
        "SELECT last_seq FROM coverage WHERE probe = ? AND epoch = ? AND stream = ?"
        " AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
        (header.probe, header.epoch, header.stream, header.last_seq),
    ).fetchone()
    return row is not None and row[0] >= header.first_seq


def covered(db: sqlite3.Connection, probe: ProbeId, epoch: Epoch, stream: Stream) -> SeqSet:
    """Return the numbers of all segments stored."""
    return SeqSet(
        db.execute(
            "SELECT first_seq, last_seq FROM coverage WHERE probe = ? AND epoch = ? AND stream = ?",
            (probe, epoch, stream),
        )
    )


def quarantined(db: sqlite3.Connection, probe: ProbeId, epoch: Epoch, stream: Stream) -> SeqSet:
    """Return the numbers of segments that the probe signed and the server kept unbelieved."""
    return SeqSet(
        db.execute(
            "SELECT first_seq, last_seq FROM quarantine"
            " WHERE probe = ? AND epoch = ? AND stream = ?",
            (probe, epoch, stream),
        )
    )


def find_holding(
    db: sqlite3.Connection, probe: ProbeId, epoch: Epoch, stream: Stream, seq: int
) -> Header | None:
    """Return the header of the segment that holds `seq`, or of the last before it, or None."""
    row = db.execute(
        "SELECT header FROM segments WHERE probe = ? AND epoch = ? AND stream = ?"
        " AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
        (probe, epoch, stream, seq),
    ).fetchone()
    return None if row is None else parse_header(row[0])


def find_neighbours(
    db: sqlite3.Connection, probe: ProbeId, epoch: Epoch, stream: Stream, position: int
) -> Neighbours:
    """Return the headers at position - 1 and position + 1."""
    found = dict(
        db.execute(
            "SELECT position, header FROM segments"
            " WHERE probe = ? AND epoch = ? AND stream = ? AND position IN (?, ?)",
            (probe, epoch, stream, position - 1, position + 1),
        ).fetchall()
    )
    before, after = found.get(position - 1), found.get(position + 1)
    return Neighbours(
        None if before is None else parse_header(before),
        None if after is None else parse_header(after),
    )
