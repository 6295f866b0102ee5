"""The export of what is not believed: it says so, and looks like no other export."""

import io
import json
from pathlib import Path

from linewatch_core.details import Detail, HttpDetail
from linewatch_core.ids import ProbeId
from linewatch_core.records import Body, LineChanged, LineKind
from linewatch_core.timebase import Interval
from linewatch_server.exports.quarantine import WARNING, quarantine_json, write_quarantine
from linewatch_server.exports.samples import fields_of
from linewatch_server.index.queries import Queries
from linewatch_server.model.quarantine import OpenedQuarantine, QuarantinedView, UnbelievedRecord
from tests.support.probes import sample
from tests.support.two_stories import SECOND, SECRETS, fill_two_stories

PROBE = ProbeId("abcdefghijklmnop")


def test_a_message_carries_its_records_and_what_is_believed_instead(tmp_path: Path) -> None:
    """One document, marked, with all that a person needs to compare two stories."""
    writer = fill_two_stories(tmp_path)
    out = io.StringIO()
    messages = Queries(tmp_path, recipient_secrets=SECRETS).opened_quarantine(writer.probe)
    write_quarantine(writer.probe, messages, out)
    document = json.loads(out.getvalue())
    assert (document["believed"], document["warning"]) == (False, WARNING)
    assert document["probe"] == writer.probe
    first, second = document["messages"]
    assert first["arrived"] == second["arrived"] == "2026-01-05T14:29:00.000Z"
    assert first["segment"]["boot"] == SECOND
    assert first["believed_instead"][0]["arrived"] == "2026-01-05T13:30:00.000Z"
    assert [record["seq"] for record in first["records"]] == list(range(41, 81))
    assert first["records"][0]["type"] == "Sample"
    assert first["records"][0]["fields"]["failure"] == "generic_timeout_error"
    assert first["records"][0]["at"]["utc_lo"].startswith("2026-01-05T13:30:0")


def test_nothing_quarantined_is_an_empty_list() -> None:
    """Valid JSON in any case."""
    assert json.loads("".join(quarantine_json(PROBE, ())))["messages"] == []


def test_any_record_has_its_fields_by_name() -> None:
    """An event's own `kind` and a detail's stay apart from the record's type."""
    view = QuarantinedView(
        pack=1,
        offset=8,
        arrival_ms=0,
        reason="because",
        byte_count=3,
        sha256="ab" * 32,
        signed=True,
        segment=None,
        believed=(),
    )
    line = LineChanged(1, "fixed-1", LineKind.FIXED, True, (4,), ("no_route",), None)
    detail: Detail = HttpDetail(302, 512, "ab" * 8, "example.org/login", "cd" * 8)
    page = sample(2, detail=detail)
    bodies: tuple[Body, ...] = (line, page)
    records = tuple(
        UnbelievedRecord(seq, Interval(None, None), body) for seq, body in enumerate(bodies)
    )
    text = "".join(quarantine_json(PROBE, [OpenedQuarantine(view, records, None)] * 2))
    first, second = json.loads(text)["messages"]
    assert first == second
    told = [(record["type"], record["fields"]) for record in first["records"]]
    assert [kind for kind, _ in told] == ["LineChanged", "Sample"]
    assert (told[0][1]["kind"], told[0][1]["problems"]) == ("fixed", ["no_route"])
    assert told[1][1]["detail"]["kind"] == "http"
    assert told[1][1] == json.loads(json.dumps(fields_of(page)))
    assert first["records"][0]["at"] == {"utc_lo": None, "utc_hi": None, "disputed": False}
