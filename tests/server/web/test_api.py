"""The API: real answers against its own description, and every route in it."""

import csv
import io
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp.web import UrlDispatcher
from jsonschema import Draft202012Validator

from linewatch_core.details import Detail
from linewatch_core.records import Body, BootStarted
from linewatch_server.exports.samples import COLUMNS
from linewatch_server.index.queries import Queries
from linewatch_server.rebuild import rebuild
from linewatch_server.web import make_web_app
from linewatch_server.web.endpoints import ENDPOINTS
from linewatch_server.web.openapi import describe
from tests.support.check_records import check_samples
from tests.support.example_fleet import HOUR_MS, NOW_MS, Life, queries_of
from tests.support.pages import Client, Connect
from tests.support.probes import ProbeWriter, archive_of
from tests.support.segments import recipient_secret
from tests.support.two_stories import fill_two_stories

DAY = "from=2026-01-04T14:30Z&to=2026-01-05T14:30Z"
HALF = "from=2026-01-05T14:00Z&to=2026-01-05T14:30Z"
SOME = "from=2026-01-05T05:00Z&to=2026-01-05T06:00Z"
DESCRIPTION = describe(ENDPOINTS)


def _schema(path: str, status: str = "200") -> dict[str, Any]:
    answer = DESCRIPTION["paths"][path]["get"]["responses"][status]
    schema = answer["content"]["application/json"]["schema"]
    return {"components": DESCRIPTION["components"], **schema}


async def _checked(client: Client, path: str, url: str) -> Any:
    """Return an answer after holding it against the schema of its path."""
    reply = await client.get(url)
    assert reply.status == 200, await reply.text()
    assert reply.content_type == "application/json"
    body = await reply.json()
    Draft202012Validator(_schema(path)).validate(body)
    return body


async def test_answers_are_as_described(day: Queries, connect: Connect) -> None:
    """Each JSON answer has exactly the fields that the description gives."""
    client = await connect(day)
    probe = day.fleet()[1].probe
    fleet = await _checked(client, "/api/fleet", "/api/fleet")
    assert [p["probe"] for p in fleet["probes"]] == [view.probe for view in day.fleet()]
    strips = await _checked(client, "/api/strips", f"/api/strips?{DAY}")
    assert len(strips["strips"]["rows"]) == 6
    one = await _checked(client, "/api/probes/{probe}", f"/api/probes/{probe}")
    assert [line["line"] for line in one["lines"]] == ["fixed-1", "mobile-1"]
    base = "/api/probes/{probe}"
    targets = await _checked(
        client, f"{base}/targets", f"/api/probes/{probe}/targets?line=mobile-1&{SOME}"
    )
    assert targets["counted"] == "windows"
    assert any(target["failures"] for target in targets["targets"])
    events = await _checked(client, f"{base}/events", f"/api/probes/{probe}/events?{DAY}")
    assert [gap["reason"] for gap in events["events"]["gaps"]] == ["rebooted"]
    everybody = await _checked(client, "/api/events", f"/api/events?{DAY}")
    assert len(everybody["events"]["gaps"]) == 2
    assert await _checked(client, "/healthz", "/healthz") == {"status": "ok"}


async def test_samples_are_as_described(half_hour: Queries, connect: Connect) -> None:
    """Samples come as JSON by the schema, and as CSV with the same number of them."""
    client = await connect(half_hour)
    probe = half_hour.fleet()[0].probe
    base = f"/api/probes/{probe}/samples"
    rows = await _checked(client, "/api/probes/{probe}/samples", f"{base}?{HALF}")
    stored = list(half_hour.samples(probe, None, NOW_MS - HOUR_MS // 2, NOW_MS))
    assert [row["seq"] for row in rows] == [row.seq for row in stored]
    assert len(rows) > 500
    text = await (await client.get(f"{base}?{HALF}&format=csv&line=fixed-1")).text()
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(table[0]) == COLUMNS
    assert [int(row["seq"]) for row in table] == [
        row.seq for row in stored if row.sample.line == "fixed-1"
    ]


async def test_every_kind_of_detail_is_as_described(tmp_path: Path, connect: Connect) -> None:
    """A sample of each check, whatever it saw, fits the schema; the description knows its kind."""
    writer, life = ProbeWriter("details"), Life("d", NOW_MS - HOUR_MS, NOW_MS, 60_000)
    bodies = [record.body for record in check_samples()]
    events: list[Body] = [BootStarted(60_000, "0.1.0"), *life.anchors()]
    archive_of(
        tmp_path,
        writer.enrolment(),
        writer.close(life.boot, events),
        writer.close(life.boot, bodies),
    )
    rebuild(tmp_path, recipient_secrets=[recipient_secret("fleet")])
    client = await connect(queries_of(tmp_path))
    url = f"/api/probes/{writer.probe}/samples?from=2026-01-05T13:00Z&to=2026-01-05T15:00Z"
    rows = await _checked(client, "/api/probes/{probe}/samples", url)
    assert len(rows) == len(bodies)
    kinds = {row["detail"]["kind"] for row in rows if row["detail"]}
    assert kinds == {kind.__struct_config__.tag for kind in get_args(Detail)}


async def test_short_ranges_count_samples(half_hour: Queries, connect: Connect) -> None:
    """A range of minutes is counted from its own samples, with roles from the configuration."""
    probe = half_hour.fleet()[0].probe
    url = f"/api/probes/{probe}/targets?line=mobile-1&from=2026-01-05T14:18Z&to=2026-01-05T14:20Z"
    body = await _checked(await connect(half_hour), "/api/probes/{probe}/targets", url)
    assert body["counted"] == "samples"
    bank = next(target for target in body["targets"] if target["target"] == "bank")
    assert (bank["sent"], bank["answered"], bank["role"]) == (4, 0, "domestic")
    assert bank["failures"] == [["generic_timeout_error", 4]]


async def test_schemas_are_strict(half_hour: Queries, connect: Connect) -> None:
    """The description would notice a field too many, a field too few and a wrong type."""
    validator = Draft202012Validator(_schema("/api/fleet"))
    good = await (await (await connect(half_hour)).get("/api/fleet")).json()
    (probe,) = good["probes"]
    assert validator.is_valid(good)
    for wrong in (
        {**probe, "more": 1},
        {name: value for name, value in probe.items() if name != "streams"},
        {**probe, "unverified": "0"},
    ):
        assert not validator.is_valid({**good, "probes": [wrong]})


def test_every_route_is_described(half_hour: Queries) -> None:
    """The description has exactly the routes that the server answers, and their parameters."""
    router = make_web_app(half_hour).router
    assert isinstance(router, UrlDispatcher)
    routes = {r.resource.canonical for r in router.routes() if r.resource is not None}
    assert routes == set(DESCRIPTION["paths"])
    for path, operations in DESCRIPTION["paths"].items():
        named = {p["name"] for p in operations["get"]["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


async def test_every_described_parameter_is_taken(half_hour: Queries, connect: Connect) -> None:
    """A parameter in the description is known to its handler, and others are refused by name."""
    client = await connect(half_hour)
    probe = half_hour.fleet()[0].probe
    for endpoint in ENDPOINTS:
        if endpoint.path.startswith(("/static", "/favicon", "/api/openapi")):
            continue
        url = endpoint.path.replace("{probe}", probe)
        text = await (await client.get(url, params={"nonsense": "1"})).text()
        names = sorted(parameter.name for parameter in endpoint.parameters)
        assert f"expected {', '.join(names) or 'none'}" in text


async def test_document_is_served_and_well_formed(half_hour: Queries, connect: Connect) -> None:
    """/api/openapi.json is this description, and each schema in it is a schema."""
    reply = await (await connect(half_hour)).get("/api/openapi.json")
    assert await reply.json() == DESCRIPTION
    assert DESCRIPTION["openapi"] == "3.1.1"
    for schema in DESCRIPTION["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/strips", 400, "add from="),
        ("/api/fleet?x=1", 400, "expected none"),
        (f"/api/probes/PROBE/targets?{DAY}", 400, "add line="),
        (f"/api/probes/PROBE/targets?line=no-9&{DAY}", 404, "are fixed-1, mobile-1"),
        (f"/api/probes/PROBE/targets?line=%3Cb%3E&{DAY}", 400, "expected a line's id"),
        (f"/api/probes/PROBE/samples?{DAY}&format=xml", 400, "expected csv or json"),
        ("/api/probes/PROBE/samples?from=2026-01-01&to=2026-03-01", 400, "at most 31 days"),
        (f"/api/probes/PROBE/samples?line=no-9&{DAY}", 404, "are fixed-1, mobile-1"),
        ("/api/probes/" + "a" * 16, 404, "not enrolled here"),
        (f"/api/probes/{'a' * 16}/events?{DAY}", 404, "not enrolled here"),
        (f"/api/probes/{'a' * 16}/samples?{DAY}", 404, "not enrolled here"),
        ("/api/nothing", 404, "no such page"),
    ],
)
async def test_refusals_are_json(
    half_hour: Queries, connect: Connect, path: str, status: int, words: str
) -> None:
    """What cannot be answered is told in one sentence, in JSON as described."""
    probe = half_hour.fleet()[0].probe
    reply = await (await connect(half_hour)).get(path.replace("PROBE", probe))
    body = await reply.json()
    assert reply.status == status
    assert words in body["error"]
    Draft202012Validator(_schema("/api/fleet", "default")).validate(body)


async def test_quarantine_is_as_described(tmp_path: Path, connect: Connect) -> None:
    """Two messages with their records, marked as not believed; nothing for other probes."""
    writer = fill_two_stories(tmp_path)
    client = await connect(queries_of(tmp_path))
    path = "/api/probes/{probe}/quarantine"
    body = await _checked(client, path, f"/api/probes/{writer.probe}/quarantine")
    assert body["believed"] is False
    assert [len(message["records"]) for message in body["messages"]] == [40, 40]
    reply = await client.get(f"/api/probes/{ProbeWriter('nobody').probe}/quarantine")
    assert reply.status == 404


async def test_health_tells_of_a_missing_index(nowhere: Queries, connect: Connect) -> None:
    """A server that cannot read its index is not healthy."""
    reply = await (await connect(nowhere)).get("/healthz")
    assert reply.status == 503
