"""Samples as CSV and JSON, row by row, so that memory does not grow with the export.

Text only: no file, no socket. Times are ISO-8601 UTC with `Z`, as the bounds
between which a check began; an open bound is empty (CSV) or null (JSON). A text
cell of the CSV that a spreadsheet would run as a formula gets a leading quote
(OWASP, "CSV Injection").
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TextIO

import msgspec

from linewatch_core.details import Detail, DnsDetail, HttpDetail
from linewatch_core.records import Body, Sample
from linewatch_server.model.views import SampleRow

COLUMNS = (
    *("utc_lo", "utc_hi", "disputed", "probe", "line", "target", "check", "family"),
    *("failure", "rtt_us", "timings_us", "address", "busy"),
    *("dns_rcode", "dns_answers", "dns_second", "dns_second_after_us"),
    *("http_status", "http_body_bytes", "http_body_sha256", "http_location", "http_chain_sha256"),
    *("epoch", "boot", "seq", "mono_ms", "slot_ms", "round_ms"),
    "detail",
    "http_issuer_sha256",
)
"""The columns of the CSV; new ones are appended. Lists within a cell are joined by a space;
`detail` is JSON, of the checks whose details have no columns of their own."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def iso_utc(utc_ms: int | None) -> str | None:
    """Return Unix ms as ISO-8601 with milliseconds and `Z`; None beyond the years 1 to 9999."""
    if utc_ms is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=utc_ms)
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def csv_lines(rows: Iterable[SampleRow]) -> Iterator[str]:
    """Yield the header line and one line a sample, each with its line end (RFC 4180)."""
    yield _csv_line(COLUMNS)
    for row in rows:
        yield _csv_line([_cell(value) for value in _values(row)])


def json_chunks(rows: Iterable[SampleRow]) -> Iterator[str]:
    """Yield one JSON array of objects, an object a sample, in pieces."""
    before = "[\n"
    for row in rows:
        yield before + msgspec.json.encode(_object(row)).decode()
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def write_csv(rows: Iterable[SampleRow], out: TextIO) -> int:
    """Write samples as CSV (open a file with newline=""); return how many there were."""
    written = -1
    for line in csv_lines(rows):
        out.write(line)
        written += 1
    return written


def write_json(rows: Iterable[SampleRow], out: TextIO) -> int:
    """Write samples as one JSON array; return how many there were."""
    written = -1
    for chunk in json_chunks(rows):
        out.write(chunk)
        written += 1
    return written


def _values(row: SampleRow) -> tuple[object, ...]:
    sample, detail = row.sample, row.sample.detail
    dns = detail if isinstance(detail, DnsDetail) else None
    http = detail if isinstance(detail, HttpDetail) else None
    return (
        *(iso_utc(row.at.lo_ms), iso_utc(row.at.hi_ms), row.at.disputed, row.probe),
        *(sample.line, sample.target, sample.check, sample.family),
        *(sample.failure, sample.rtt_us, sample.timings_us, sample.address, sample.busy),
        *((dns.rcode, dns.answers, dns.second, dns.second_after_us) if dns else (None,) * 4),
        *((http.status, http.body_bytes, http.body_sha256) if http else (None,) * 3),
        *((http.location, http.chain_sha256) if http else (None,) * 2),
        *(row.epoch, row.boot, row.seq, sample.mono_ms, sample.slot_ms, sample.round_ms),
        None if detail is None or dns or http else msgspec.json.encode(_detail(detail)).decode(),
        http.issuer_sha256 if http else None,
    )


def _object(row: SampleRow) -> dict[str, object]:
    return {
        "utc_lo": iso_utc(row.at.lo_ms),
        "utc_hi": iso_utc(row.at.hi_ms),
        "disputed": row.at.disputed,
        "probe": row.probe,
        "epoch": row.epoch,
        "boot": row.boot,
        "seq": row.seq,
        **fields_of(row.sample),
    }


def fields_of(body: Body) -> dict[str, object]:
    """Return a record's fields by their names, to encode as JSON; on the wire they have none."""
    fields = _named(body)
    if isinstance(body, Sample) and body.detail is not None:
        fields["detail"] = _detail(body.detail)
    return fields


def _detail(detail: Detail) -> dict[str, object]:
    return {"kind": detail.__struct_config__.tag} | _named(detail)


def _named(struct: msgspec.Struct) -> dict[str, object]:
    return {name: _plain(getattr(struct, name)) for name in struct.__struct_fields__}


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _named(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
