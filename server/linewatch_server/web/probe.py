"""The page of one probe: each line's latency and loss by target, events, what is stored."""

from dataclasses import dataclass

from aiohttp import web

from linewatch_core.ids import ProbeId
from linewatch_core.records import LineKind
from linewatch_server.model.views import LineView
from linewatch_server.web.coordinator import EVENTS_SHOWN_MAX, ask_range
from linewatch_server.web.parameters import RANGE_PARAMETERS, check_names, read_probe, read_range
from linewatch_server.web.probe_data import Counted, count_targets, find_probe
from linewatch_server.web.ranges import PRESETS, TimeRange, default_preset, preset_range
from linewatch_server.web.site import SITE, Site, outside

QUARANTINE_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class LinePart:
    """One line on the page; `view` is None while its description has not arrived."""

    line: str
    kind: LineKind | None
    view: LineView | None
    counted: Counted


async def show_probe(request: web.Request) -> web.Response:
    """Answer `/probe/<id>`."""
    probe = read_probe(request.match_info["probe"])
    check_names(request.query, RANGE_PARAMETERS)
    site = request.app[SITE]
    asked = read_range(request.query, now_ms=site.now_ms())
    html = await outside(request, _page, site, probe, asked, request.query.get("range"))
    return web.Response(text=html, content_type="text/html")


def _page(site: Site, probe: ProbeId, asked: TimeRange | None, preset: str | None) -> str:
    now_ms, questions = site.now_ms(), site.questions
    view = find_probe(questions, probe)
    if asked is None:
        preset = default_preset(questions, [probe], now_ms=now_ms)
        asked = preset_range(preset, now_ms=now_ms)
    page = ask_range(questions, asked, now_ms=now_ms, probe=probe)
    described = {line.line: line for line in questions.lines(probe)}
    parts = [
        LinePart(
            row.line,
            row.kind,
            described.get(row.line),
            count_targets(questions, probe, row.line, asked),
        )
        for row in page.table.rows
    ]
    return site.render(
        "probe.html",
        probe=view,
        page=page,
        asked=asked,
        preset=preset,
        presets=PRESETS,
        base=f"/probe/{probe}",
        parts=parts,
        quarantined=questions.quarantined(probe, newest=QUARANTINE_SHOWN_MAX),
        shown_max=EVENTS_SHOWN_MAX,
    )
