"""Exported samples: every field, times with Z, safe in a spreadsheet, streamed."""

import csv
import io
import json
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.details import DnsDetail, HttpDetail
from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.records import Check, Sample
from linewatch_core.timebase import Interval
from linewatch_server.exports.samples import (
    COLUMNS,
    csv_lines,
    iso_utc,
    json_chunks,
    write_csv,
    write_json,
)
from linewatch_server.model.views import SampleRow
from tests.support.check_records import check_samples
from tests.support.probes import sample

UTC = 1_790_000_000_123
DNS = DnsDetail("NOERROR", ("192.0.2.1", "192.0.2.2"), ("198.51.100.9",), 400)
HTTP = HttpDetail(302, 512, "ab" * 8, "example.org/login", "cd" * 8)


def row(body: Sample, *, seq: int = 7, at: Interval | None = None) -> SampleRow:
    """Return a row of that sample."""
    place = at or Interval(UTC - 5, UTC + 5)
    return SampleRow(
        ProbeId("abcdefghijklmnop"), Epoch("01" * 8), BootId("2b" * 16), seq, place, body
    )


def read_csv(text: str) -> list[dict[str, str]]:
    """Return a CSV's lines by column."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_csv_line_holds_every_field() -> None:
    """Phases and answers are in one cell each, divided by spaces."""
    out = io.StringIO(newline="")
    http = sample(5, check=Check.HTTP, timings_us=(10, 20, 30), detail=HTTP, busy=True)
    rows = [row(http), row(sample(6, check=Check.DNS, detail=DNS, address="192.0.2.53"))]
    assert write_csv(rows, out) == 2
    first, second = read_csv(out.getvalue())
    assert tuple(first) == COLUMNS
    assert first["utc_lo"] == "2026-09-21T14:13:20.118Z"
    assert first["utc_hi"] == "2026-09-21T14:13:20.128Z"
    assert (first["check"], first["timings_us"], first["busy"]) == ("http", "10 20 30", "true")
    assert (first["http_status"], first["http_location"]) == ("302", "example.org/login")
    assert (first["dns_rcode"], first["failure"], first["seq"]) == ("", "", "7")
    assert (second["dns_answers"], second["dns_second"]) == ("192.0.2.1 192.0.2.2", "198.51.100.9")
    assert (second["address"], second["disputed"]) == ("192.0.2.53", "false")


def test_json_is_one_array_with_null_for_what_is_unknown() -> None:
    """An open bound is null, a detail says its kind, all fields of a sample are there."""
    out = io.StringIO()
    rows = [row(sample(5, detail=DNS), at=Interval(None, UTC, True)), row(sample(6))]
    assert write_json(rows, out) == 2
    first, second = json.loads(out.getvalue())
    assert (first["utc_lo"], first["utc_hi"]) == (None, "2026-09-21T14:13:20.123Z")
    assert first["disputed"] is True
    assert first["detail"]["kind"] == "dns"
    assert first["detail"]["answers"] == ["192.0.2.1", "192.0.2.2"]
    assert set(Sample.__struct_fields__) <= set(second)
    assert (second["failure"], second["rtt_us"], second["detail"]) == (None, 10_000, None)


def test_the_details_of_every_check_are_named_in_both_forms() -> None:
    """No evidence stays behind: in JSON every part has its name, in CSV the cell is that JSON."""
    rows = [row(r.body, seq=r.seq) for r in check_samples() if isinstance(r.body, Sample)]
    objects = json.loads("".join(json_chunks(rows)))
    by_check = {each["check"]: each["detail"] for each in objects}
    assert by_check["trace"]["kind"] == "trace"
    first_trace = next(each["detail"] for each in objects if each["check"] == "trace")
    assert first_trace["hops"][0] == {"ttl": 3, "address": "203.0.113.1", "rtt_us": 9_120}
    assert by_check["contrast"]["https"]["failure"] == "connection_reset"
    assert by_check["host"]["sensitive_page"]["status"] == 403
    lines = read_csv("".join(csv_lines(rows)))
    for line, each in zip(lines, objects, strict=True):
        plain = each["detail"] is None or each["detail"]["kind"] in ("dns", "http")
        assert (json.loads(line["detail"]) if line["detail"] else None) == (
            None if plain else each["detail"]
        )


def test_nothing_to_export_is_still_a_whole_file() -> None:
    """An empty CSV has its header, an empty JSON is an empty array."""
    assert read_csv("".join(csv_lines([]))) == []
    assert "".join(csv_lines([])).startswith("utc_lo,utc_hi,")
    assert json.loads("".join(json_chunks([]))) == []
    assert write_json([], io.StringIO()) == 0


@given(st.text(max_size=30))
def test_no_text_becomes_a_formula_and_none_breaks_a_line(text: str) -> None:
    """Whatever stands in a failure or an address, a spreadsheet shows it as text."""
    exported = "".join(csv_lines([row(sample(1, failure=text, address=text))]))
    (read,) = read_csv(exported)
    for cell in (read["failure"], read["address"]):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert cell.removeprefix("'") == text.removeprefix("'")
    (back,) = json.loads("".join(json_chunks([row(sample(1, failure=text))])))
    assert back["failure"] == text


def test_rows_are_taken_one_by_one() -> None:
    """An export reads no further ahead than it writes."""
    taken = []

    def rows() -> Iterator[SampleRow]:
        for seq in range(100):
            taken.append(seq)
            yield row(sample(seq), seq=seq)

    for stream in (csv_lines(rows()), json_chunks(rows())):
        taken.clear()
        for _ in range(3):
            next(stream)
        assert len(taken) <= 3


@given(st.integers(-(2**80), 2**80))
def test_any_time_has_a_form_or_none(utc_ms: int) -> None:
    """What no calendar holds is None, never an exception."""
    text = iso_utc(utc_ms)
    assert text is None or (text.endswith("Z") and len(text) == 24)
