"""What is kept and not believed, as one JSON document that says so; message by message.

Text only: no file, no socket. It shares no form with the export of samples, so that
nobody takes one for the other: records stand inside the message that brought them.
"""

from collections.abc import Generator, Iterable
from typing import Final, TextIO

import msgspec

from linewatch_core.ids import ProbeId
from linewatch_core.timebase import Interval
from linewatch_server.exports.samples import fields_of, iso_utc
from linewatch_server.model.quarantine import OpenedQuarantine, SegmentView, UnbelievedRecord

WARNING: Final = (
    "Kept, and not believed: each message contradicts what had arrived before it. "
    "None of this is on a page, in a figure or in another export."
)


def quarantine_json(
    probe: ProbeId, messages: Iterable[OpenedQuarantine]
) -> Generator[str, None, None]:
    """Yield one JSON object in pieces, a message each; the first one holds all before it, too."""
    head = {"believed": False, "warning": WARNING, "probe": probe}
    before = _json(head).removesuffix("}") + ',"messages":[\n'
    for message in messages:
        yield before + _json(_message(message))
        before = ",\n"
    yield ("\n" if before == ",\n" else before) + "]}\n"


def write_quarantine(probe: ProbeId, messages: Iterable[OpenedQuarantine], out: TextIO) -> None:
    """Write the document to a text file."""
    for piece in quarantine_json(probe, messages):
        out.write(piece)


def _message(message: OpenedQuarantine) -> dict[str, object]:
    view = message.view
    return {
        "arrived": iso_utc(view.arrival_ms),
        "reason": view.reason,
        "bytes": view.byte_count,
        "sha256": view.sha256,
        "pack": view.pack,
        "offset": view.offset,
        "signed": view.signed,
        "segment": None if view.segment is None else _segment(view.segment),
        "believed_instead": [
            {"arrived": iso_utc(one.arrival_ms)} | _segment(one.segment) for one in view.believed
        ],
        "unopened": message.unopened,
        "records": None if message.records is None else [*map(_record, message.records)],
    }


def _segment(segment: SegmentView) -> dict[str, object]:
    return {
        "epoch": segment.epoch,
        "stream": segment.stream,
        "boot": segment.boot,
        "position": segment.position,
        "first_seq": segment.first_seq,
        "last_seq": segment.last_seq,
        "header_sha256": segment.header_sha256,
        "begins": _interval(segment.begins),
        "ends": _interval(segment.ends),
    }


def _record(record: UnbelievedRecord) -> dict[str, object]:
    return {
        "seq": record.seq,
        "at": _interval(record.at),
        "type": type(record.body).__name__,
        "fields": fields_of(record.body),
    }


def _interval(at: Interval) -> dict[str, object]:
    return {"utc_lo": iso_utc(at.lo_ms), "utc_hi": iso_utc(at.hi_ms), "disputed": at.disputed}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
