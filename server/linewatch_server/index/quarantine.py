"""Reads what is quarantined: the index says where it lies, the archive what it is.

Nothing here feeds a projection: records of quarantined segments are opened for a
person, one message at a time, and leave as `UnbelievedRecord`, which no figure takes.
"""

import hashlib
from sqlite3 import Connection

from linewatch_core.errors import LinewatchError
from linewatch_core.ids import ProbeId
from linewatch_core.segment.header import Header, header_sha256, parse_header
from linewatch_core.segment.segment import Segment, parse_segment, verify_signature
from linewatch_server.archive.reader import Archive
from linewatch_server.index import keys
from linewatch_server.index.opening import Opener
from linewatch_server.model.clock import ProbeClock
from linewatch_server.model.entries import EntryKind, Location, parse_quarantined
from linewatch_server.model.quarantine import (
    BelievedView,
    OpenedQuarantine,
    QuarantinedView,
    SegmentView,
    UnbelievedRecord,
)


def quarantined_views(
    db: Connection,
    archive: Archive,
    probe: ProbeId,
    *,
    clock: ProbeClock,
    newest: int | None = None,
) -> tuple[QuarantinedView, ...]:
    """Return what is quarantined of a probe in the order of arrival; or only the newest.

    Raises:
        ArchiveDamagedError: the archive does not read.
    """
    views = []
    for location, arrival_ms, reason in _rows(db, probe, newest=newest):
        data = _message(archive, location)
        segment = _segment(data, probe)
        views.append(
            QuarantinedView(
                pack=location.pack,
                offset=location.offset,
                arrival_ms=arrival_ms,
                reason=reason,
                byte_count=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                signed=segment is not None and _is_signed(db, segment),
                segment=None if segment is None else _view(segment.header, clock),
                believed=() if segment is None else _believed(db, segment.header, clock),
            )
        )
    return tuple(views)


def open_quarantined(
    archive: Archive, opener: Opener, view: QuarantinedView, *, clock: ProbeClock
) -> OpenedQuarantine:
    """Return a message with its records, if its probe signed it and they open here."""
    if view.segment is None or not view.signed:
        return OpenedQuarantine(view, None, "no known key of the probe signed it")
    segment = parse_segment(_message(archive, Location(view.pack, view.offset)))
    try:
        records = opener.open(segment)
    except LinewatchError as error:
        return OpenedQuarantine(view, None, f"it does not open: {error}")
    if records is None:
        return OpenedQuarantine(view, None, "it is sealed to a key that is not here")
    place = (segment.header.epoch, segment.header.boot)
    placed = tuple(
        UnbelievedRecord(record.seq, clock.place(*place, record.body.mono_ms), record.body)
        for record in records
    )
    return OpenedQuarantine(view, placed, None)


def _rows(db: Connection, probe: ProbeId, *, newest: int | None) -> list[tuple[Location, int, str]]:
    """Return where each message lies, when it arrived, and why it is not believed."""
    rows = db.execute(
        "SELECT pack, place, arrival_ms, reason FROM quarantine WHERE probe = ?"
        " ORDER BY pack DESC, place DESC LIMIT ?",
        (probe, -1 if newest is None else newest),
    ).fetchall()
    return [(Location(pack, place), arrival, why) for pack, place, arrival, why in reversed(rows)]


def _message(archive: Archive, location: Location) -> bytes:
    entry = archive.read(location)
    if entry.kind is EntryKind.QUARANTINE:
        return parse_quarantined(entry.payload).data
    return entry.payload


def _segment(data: bytes, probe: ProbeId) -> Segment | None:
    try:
        segment = parse_segment(data)
    except LinewatchError:
        return None
    return segment if segment.header.probe == probe else None


def _is_signed(db: Connection, segment: Segment) -> bool:
    public = keys.find_key(db, segment.header.probe, segment.header.signer)
    if public is None:
        return False
    try:
        verify_signature(segment, public)
    except LinewatchError:
        return False
    return True


def _view(header: Header, clock: ProbeClock) -> SegmentView:
    return SegmentView(
        epoch=header.epoch,
        stream=header.stream,
        boot=header.boot,
        position=header.position,
        first_seq=header.first_seq,
        last_seq=header.last_seq,
        header_sha256=header_sha256(header).hex(),
        begins=clock.place(header.epoch, header.boot, header.mono_first_ms),
        ends=clock.place(header.epoch, header.boot, header.mono_last_ms),
    )


def _believed(db: Connection, header: Header, clock: ProbeClock) -> tuple[BelievedView, ...]:
    """Return the believed segments with numbers of a header's, or in its place of the chain.

    If there is none it broke the chain: then those right before and after it.
    """
    chain = "probe = :probe AND epoch = :epoch AND stream = :stream"
    values = {name: getattr(header, name) for name in ("probe", "epoch", "stream", "position")}
    values |= {"first": header.first_seq, "last": header.last_seq}
    # Believed segments do not overlap: of those that begin before it only the last can reach it.
    overlap = (
        f"{chain} AND first_seq <= :last AND last_seq >= :first AND first_seq >= coalesce("
        f"(SELECT max(first_seq) FROM segments WHERE {chain} AND first_seq <= :first), 0)"
    )
    select = f"SELECT header, arrival_ms FROM segments WHERE {chain} AND position"
    rows = db.execute(
        f"SELECT header, arrival_ms FROM segments WHERE {overlap} UNION {select} = :position",
        values,
    ).fetchall()
    rows = rows or db.execute(f"{select} IN (:position - 1, :position + 1)", values).fetchall()
    found = [
        BelievedView(arrival_ms=arrival_ms, segment=_view(parse_header(stored), clock))
        for stored, arrival_ms in rows
    ]
    return tuple(sorted(found, key=lambda one: one.segment.position))
