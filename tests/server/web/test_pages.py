"""The pages, as a browser without script gets them."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from linewatch_core.errors import LimitError
from linewatch_core.ids import ProbeId
from linewatch_core.modem_words import (
    MODEM_TARGET,
    Bearer,
    ModemDetail,
    ModemStep,
    ModemTrouble,
    Registration,
    Sim,
)
from linewatch_core.records import (
    Body,
    BootStarted,
    BudgetChanged,
    Check,
    LineChanged,
    LineKind,
    ModemReset,
)
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.queries import Queries
from linewatch_server.model.strips import Strips
from linewatch_server.rebuild import rebuild
from linewatch_server.web.endpoints import ENDPOINTS
from linewatch_server.web.openapi import describe
from tests.support.example_fleet import HOUR_MS, NOW_MS, Life, queries_of
from tests.support.pages import Client, Connect
from tests.support.probes import Item, ProbeWriter, archive_of, boot_id, sample, store
from tests.support.segments import recipient_secret
from tests.support.two_stories import fill_two_stories

HOSTILE = "<script>alert(1)</script>\"'&"


async def _text(client: Client, path: str, status: int = 200) -> str:
    """Return a page's words as they are read: without tags, spaces made one."""
    html = await _html(client, path, status)
    words = re.sub(r"<[^>]+>", " ", html[html.index("<main") :])
    return re.sub(r"\s+([.,;:)])", r"\1", re.sub(r"\s+", " ", unescape(words)))


async def _html(client: Client, path: str, status: int = 200) -> str:
    response = await client.get(path)
    assert response.status == status
    assert response.content_type == "text/html"
    return await response.text()


def _fill(directory: Path, *items: Item, key: bool = True) -> Queries:
    archive_of(directory, *items)
    secrets = [recipient_secret("fleet")] if key else []
    rebuild(directory, recipient_secrets=secrets)
    return Queries(directory, recipient_secrets=secrets)


def _first_probe(questions: Queries) -> str:
    return questions.fleet()[0].probe


async def test_says_what_it_knows(day: Queries, connect: Connect) -> None:
    """The first sentences count lines and checks, and name what is low and what is unknown."""
    text = await _text(await connect(day), "/")
    assert "2026-01-04 14:40 to 2026-01-05 14:40 Z (24 h, UTC)" in text
    assert "3 probes are enrolled, with 6 lines known." in text
    strips = day.strips(NOW_MS - 86_400_000 + 600_000, NOW_MS + 600_000, 1_200_000)
    cells = [cell for row in strips.rows for cell in row.cells]
    sent, answered = sum(cell.sent for cell in cells), sum(cell.answered for cell in cells)
    assert f"Of {sent:,} checks in this time, {answered:,} answered" in text
    assert "On 3 lines there was a time when fewer than one check in five answered" in text
    assert "2026-01-05 05:40 to 2026-01-05 09:20 Z (3 h 40 min)" in text
    assert "For 2 lines there is a time with no data" in text
    assert "For 4 lines part of the time was not measured for a known reason" in text


async def test_tells_gaps_with_their_bounds(day: Queries, connect: Connect) -> None:
    """A gap shows its reason; where the clock is vague, both bounds show."""
    text = await _text(await connect(day), "/")
    assert "all lines 2026-01-04 22:30:00 Z 2026-01-05 00:10:00 Z the probe restarted" in text
    assert re.search(r"between 2026-01-05 02:\d\d:\d\d Z and 2026-01-05 02:\d\d:\d\d Z", text)


async def test_tells_what_is_missing(day: Queries, connect: Connect) -> None:
    """Missing numbers and integrity are told in words."""
    text = await _text(await connect(day), "/")
    holes = [hole for view in day.fleet() for s in view.streams for hole in s.holes]
    assert len(holes) == 1
    assert f"five-minute counts {holes[0][0]:,} to {holes[0][1]:,}" in text
    records = sum(s.records for view in day.fleet() for s in view.streams)
    assert f"{records:,} records are stored, each in a segment whose signature was verified" in text
    assert "Nothing was quarantined." in text


async def test_cells_lead_to_their_stretch(half_hour: Queries, connect: Connect) -> None:
    """Each cell leads to the probe's page for exactly its stretch, which counts the same."""
    client = await connect(half_hour)
    html = await _html(client, "/?range=30min")
    cell = re.search(r'<td class="sx[^"]*"><a href="([^"]+)" title="([^"]+)">X</a>', html)
    assert cell is not None
    assert "(0 %)" in cell[2]
    counts = re.search(r"(\d+) of (\d+) checks answered", cell[2])
    assert counts is not None
    text = await _text(client, unescape(cell[1]).partition("#")[0])
    assert "(1 min, UTC)" in text
    assert f"{counts[1]} of {counts[2]} checks answered" in text
    assert "from the samples of exactly this time" in text
    assert "generic_timeout_error × 2" in text


async def test_probe_page(day: Queries, connect: Connect) -> None:
    """A probe's page has its lines, a row for each target and check, and what is stored."""
    probe = _first_probe(day)
    html = await _html(await connect(day), f"/probe/{probe}")
    assert html.count('<th scope="row">bank</th>') == 2
    assert f"/api/probes/{probe}/samples?line=fixed-1&amp;format=csv&amp;from_" not in html
    assert re.search(rf"/api/probes/{probe}/samples\?line=fixed-1&amp;format=csv&amp;from=", html)
    text = await _text(await connect(day), f"/probe/{probe}")
    (target,) = (
        view
        for view in day.targets(
            day.fleet()[0].probe, "fixed-1", NOW_MS - 85_800_000, NOW_MS + 600_000
        )
        if view.target == "bank"
    )
    assert f"bank domestic tcp {target.sent:,} {target.answered:,}" in text
    assert "Usable over IPv4 and IPv6" in text


async def test_probe_page_tells_operator_saving_and_modem(tmp_path: Path, connect: Connect) -> None:
    """In words: who runs the line, that it saves data and since when, what its modem says."""
    writer, life = ProbeWriter("mobile"), Life("m", NOW_MS - HOUR_MS, NOW_MS, 9_000)
    at = life.mono(NOW_MS - HOUR_MS // 2)
    events: list[Body] = [
        BootStarted(life.mono(life.from_ms), "0.1.0"),
        *life.anchors(),
        LineChanged(at, "sim-1", LineKind.MOBILE, True, (4,), (), "Example <Telecom>"),
        BudgetChanged(at, "sim-1", 2),
        ModemReset(at, "sim-1", ModemStep.USB, ModemTrouble.GONE, True),
        ModemReset(at, "sim-1", ModemStep.POWER, ModemTrouble.GONE, False),
    ]
    home = ModemDetail(True, Sim.READY, Registration.ROAMING, Bearer.REFUSED, -97, "99970", "lte")
    said = sample(at, line="sim-1", target=MODEM_TARGET, check=Check.MODEM, detail=home)
    items: list[Item] = [
        writer.enrolment(),
        writer.close(life.boot, events),
        writer.close(life.boot, [said]),
    ]
    questions = _fill(tmp_path, *items)
    client = await connect(questions)
    text = await _text(client, f"/probe/{writer.probe}?range=24h")
    assert "Line sim-1 mobile line Example <Telecom>" in text
    assert "Saves data: step 2, since 2026-01-05 14:00:00 Z." in text
    assert (
        "Modem: SIM ready, roaming, operator 99970, LTE, signal -97 dBm,"
        " data session refused by the network, as last told 2026-01-05 14:00:00 Z." in text
    )
    assert "sim-1 2026-01-05 14:00:00 Z step 2" in text
    given_back = "it was gone USB device taken from its drivers and given back"
    assert f"sim-1 2026-01-05 14:00:00 Z {given_back}" in text
    assert "it was gone USB port without power for a moment (could not be done)" in text
    assert "sim-1 mobile line Example <Telecom>" in await _text(client, "/?range=24h")
    answer = await (await client.get(f"/api/probes/{writer.probe}")).json()
    (line,) = answer["lines"]
    assert (line["operator"], line["budget_step"]) == ("Example <Telecom>", 2)
    assert line["modem"]["registration"] == "roaming"
    Draft202012Validator(schema_of("/api/probes/{probe}")).validate(answer)


def schema_of(path: str) -> dict[str, Any]:
    """Return the described schema of an answer."""
    whole = describe(ENDPOINTS)
    answer = whole["paths"][path]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    return {"components": whole["components"], **schema}


async def test_no_probe_yet(tmp_path: Path, connect: Connect) -> None:
    """An empty fleet's page says what to do."""
    text = await _text(await connect(_fill(tmp_path)), "/")
    assert "No probe is enrolled yet." in text
    assert "linewatch-server enrol" in text


async def test_nothing_arrived_yet(tmp_path: Path, connect: Connect) -> None:
    """A probe that has sent nothing is told apart from none."""
    text = await _text(await connect(_fill(tmp_path, ProbeWriter().enrolment())), "/")
    assert "1 probe is enrolled, and nothing has arrived yet." in text
    assert "linewatch-agent status" in text


async def test_server_without_a_key(tmp_path: Path, connect: Connect) -> None:
    """A server that cannot open what it stores says so, and how much it stores."""
    writer, life = ProbeWriter(), Life("sealed", NOW_MS - 600_000, NOW_MS, 1_000)
    segment = writer.close(life.boot, [sample(5_000), sample(35_000)])
    questions = _fill(tmp_path, writer.enrolment(), segment, key=False)
    client = await connect(questions, holds_key=False)
    text = await _text(client, "/")
    assert "This server holds no key." in text
    assert "2 records are sealed to a key that this server does not hold." in text
    probe = await _text(client, f"/probe/{writer.probe}")
    assert "No line of this probe is known here, since nothing can be opened." in probe


async def test_checks_without_a_place_in_time(tmp_path: Path, connect: Connect) -> None:
    """Checks of a boot that no clock is matched to are counted in words and drawn nowhere."""
    writer = ProbeWriter()
    boot = Life("unplaced", 0, 1, 0).boot
    items = [writer.close(boot, [BootStarted(1, "0")]), writer.close(boot, [sample(5_000)])]
    html = await _html(await connect(_fill(tmp_path, writer.enrolment(), *items)), "/?range=24h")
    assert "1 check may belong here" in html
    assert not re.search(r'<td class="s\d', html)


async def test_hostile_records_are_text(tmp_path: Path, connect: Connect) -> None:
    """Names in records that look like markup or formulas are shown as text."""
    writer = ProbeWriter()
    life = Life("hostile", NOW_MS - 600_000, NOW_MS, 1_000)
    bodies = [
        sample(200_000, target=HOSTILE, failure=f"=1+1{HOSTILE}"),
        sample(200_100, line=HOSTILE, target="bank"),
    ]
    items = [
        writer.close(life.boot, [BootStarted(1_000, HOSTILE), *life.anchors()]),
        writer.close(life.boot, bodies),
    ]
    client = await connect(_fill(tmp_path, writer.enrolment(), *items))
    for path in ("/", f"/probe/{writer.probe}?range=30min"):
        html = await _html(client, path)
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    times = "from=2026-01-05T14:00Z&to=2026-01-05T14:30Z"
    reply = await client.get(f"/api/probes/{writer.probe}/samples?{times}&format=csv")
    lines = (await reply.text()).splitlines()
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert any(",\"'=1+1<script>" in line for line in lines)


async def test_many_lines_are_paged(
    half_hour: Queries, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list of lines comes in parts, and a part that is not there is not found."""
    monkeypatch.setattr("linewatch_server.web.coordinator.ROWS_A_PAGE", 1)
    client = await connect(half_hour)
    first, second = [await _html(client, f"/?range=30min&page={n}") for n in (1, 2)]
    assert ">fixed-1</span>" in first
    assert ">fixed-1</span>" not in second
    assert "Part 2 of 2" in second
    assert "Cannot show page 3: there are 2." in await _text(client, "/?page=3", 404)


class BigFleet(Queries):
    """Questions on a fleet too big to be drawn from single samples."""

    def strips(
        self, from_ms: int, to_ms: int, cell_ms: int, *, probe: ProbeId | None = None
    ) -> Strips:
        """Refuse fine cells."""
        if cell_ms < 600_000:
            raise LimitError("cannot draw cells this fine")
        return super().strips(from_ms, to_ms, cell_ms, probe=probe)


async def test_coarser_cells_when_fine_ones_cost_too_much(tmp_path: Path, connect: Connect) -> None:
    """A fleet too big for single samples is drawn from five-minute counts, not refused."""
    _fill(tmp_path, ProbeWriter().enrolment())
    text = await _text(await connect(BigFleet(tmp_path)), "/?range=30min")
    assert "2026-01-05 14:00 to 2026-01-05 14:40 Z (40 min, UTC)" in text


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/?range=1h", 400, "expected 30min, 2h, 6h, 24h, 7d, 30d"),
        ("/?from=2026-01-05&to=x", 400, "expected a time in UTC such as 2026-01-05T14:30Z"),
        ("/?form=x", 400, "expected from, page, range, to"),
        ("/probe/nobody", 404, "not a probe id"),
        ("/probe/" + "a" * 16, 404, "it is not enrolled here"),
        ("/static/", 404, "there is no such page"),
        ("/static/../application.py", 404, "there is no such page"),
        ("/%00<script>", 404, "there is no such page"),
    ],
)
async def test_refusals_are_pages(
    half_hour: Queries, connect: Connect, path: str, status: int, words: str
) -> None:
    """What cannot be shown is told in one sentence on a page."""
    assert words in await _text(await connect(half_hour), path, status)


async def test_counts_show_before_samples_arrive(day: Queries, connect: Connect) -> None:
    """A cell of which only counts have come leads to a page that shows them, and says so."""
    probe = day.fleet()[0].probe
    url = f"/probe/{probe}?from=2026-01-05T05:40&to=2026-01-05T06:00"
    text = await _text(await connect(day), url)
    assert "A cell is 10 min of one line." in text
    assert "Some samples of this time have not arrived" in text
    assert "counted in five-minute windows whose middle lies in this time" in text
    assert "no data, not measured" not in text


async def test_two_stories_are_told_side_by_side(tmp_path: Path, connect: Connect) -> None:
    """When each came, when it was written down, and that no figure counts the second one."""
    writer = fill_two_stories(tmp_path)
    client = await connect(queries_of(tmp_path))
    html = await _html(client, "/")
    assert f"/probe/{writer.probe}?" in html
    assert '#quarantine">' in html
    text = await _text(client, f"/probe/{writer.probe}")
    assert "2 messages contradict what had arrived before them." in text
    assert "2026-01-05 14:29:00 Z samples 41 to 80 of store" in text
    assert "2026-01-05 13:30:04 to 2026-01-05 13:49:35 Z its records overlap" in text
    assert "2026-01-05 12:50:04 to 2026-01-05 13:09:36 Z" in text
    assert "arrived 2026-01-05 13:30:00 Z" in text
    assert "120 of 120 checks answered" in text
    assert "messages are shown" not in text


async def test_silent_probes_are_named_at_the_top(tmp_path: Path, connect: Connect) -> None:
    """From quarter of an hour without an arrival on, with how long, and a way to their page."""
    items = [ProbeWriter(name) for name in ("loud", "gone", "quiet")]
    with ArchiveWriter(tmp_path) as archive:
        for writer, ago_ms in zip(items, (14 * 60_000, 72 * HOUR_MS, 3 * HOUR_MS), strict=True):
            segment = writer.close(boot_id("one"), [BootStarted(1, "0.1.0")])
            store(archive, writer.enrolment(), segment, at_ms=NOW_MS - ago_ms)
    rebuild(tmp_path, recipient_secrets=[recipient_secret("fleet")])
    client = await connect(queries_of(tmp_path))
    text = await _text(client, "/")
    first, last = items[2].probe[:6], items[1].probe[:6]
    assert f"2 probes are silent now: {first} for 3 h, {last} for 3 d. Each leads to" in text
    assert "silent now" not in await _text(await connect(_fill(tmp_path / "none")), "/")


async def test_only_the_newest_of_a_quarantine_are_shown(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page stays short; all of it is in the document that the page leads to."""
    writer = fill_two_stories(tmp_path)
    monkeypatch.setattr("linewatch_server.web.probe.QUARANTINE_SHOWN_MAX", 1)
    text = await _text(await connect(queries_of(tmp_path)), f"/probe/{writer.probe}")
    assert "samples 81 to 120 of store" in text
    assert "The newest 1 of 2 are shown." in text


async def test_missing_index_is_told(nowhere: Queries, connect: Connect) -> None:
    """A server whose index cannot be read says so, and that it may pass."""
    text = await _text(await connect(nowhere), "/", 503)
    assert "try again in a minute" in text


async def test_unexpected_error_shows_nothing_inside(connect: Connect) -> None:
    """A bug of ours becomes a sentence without a trace."""
    client = await connect(object())
    text = await _text(client, "/", 500)
    assert "an error in the server; its log has the details" in text
    assert "AttributeError" not in text


names = st.sampled_from(["from", "to", "range", "page", "x"])
times = st.datetimes().map(str)
texts = st.text() | st.just(HOSTILE) | times | st.sampled_from(["1", "30d", "2026-01-05"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.dictionaries(names, texts))
async def test_any_query_gets_a_page(
    half_hour: Queries, connect: Connect, query: dict[str, str]
) -> None:
    """No query breaks a page or gets markup into it."""
    client = await connect(half_hour)
    reply = await client.get("/", params=query)
    assert reply.status in {200, 400, 404}
    assert "<script" not in await reply.text()
