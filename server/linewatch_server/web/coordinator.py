"""The coordinator's page: one time range, every line, what is known and what is not."""

from dataclasses import dataclass

from aiohttp import web

from linewatch_core.ids import ProbeId
from linewatch_server.model.views import EventsView, ProbeView
from linewatch_server.web.drawing import draw_strips
from linewatch_server.web.facts import RangeFacts, StoreFacts, range_facts, store_facts
from linewatch_server.web.parameters import (
    RANGE_PARAMETERS,
    check_names,
    read_page,
    read_range,
)
from linewatch_server.web.questions import Questions
from linewatch_server.web.ranges import (
    PRESETS,
    Grid,
    TimeRange,
    default_preset,
    preset_range,
)
from linewatch_server.web.refusals import NotFoundError
from linewatch_server.web.site import SITE, Site, outside
from linewatch_server.web.strip_table import ShownRow, StripTable, build_table

ROWS_A_PAGE = 60
"""Lines on one page: its HTML stays below a megabyte."""
EVENTS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class RangePage:
    """What pages of a time range have in common; `awaits_samples` as in `Drawn`."""

    grid: Grid
    table: StripTable
    range_facts: RangeFacts
    events: EventsView
    awaits_samples: bool


@dataclass(frozen=True, slots=True)
class Paging:
    """One page of the rows of strips."""

    number: int
    count: int
    rows: tuple[ShownRow, ...]


def ask_range(
    questions: Questions, wanted: TimeRange, *, now_ms: int, probe: ProbeId | None = None
) -> RangePage:
    """Return what is known of a range, of all probes or of one."""
    drawn = draw_strips(questions, wanted, probe=probe)
    grid = drawn.grid
    table = build_table(drawn.strips, grid, now_ms=now_ms)
    events = questions.events(grid.range.from_ms, grid.range.to_ms, probe=probe)
    facts = range_facts(drawn.strips, table)
    return RangePage(grid, table, facts, events, drawn.awaits_samples)


async def show_coordinator(request: web.Request) -> web.Response:
    """Answer `/`."""
    check_names(request.query, RANGE_PARAMETERS | {"page"})
    number = read_page(request.query)
    site = request.app[SITE]
    asked = read_range(request.query, now_ms=site.now_ms())
    html = await outside(request, _page, site, asked, request.query.get("range"), number)
    return web.Response(text=html, content_type="text/html")


def _page(site: Site, asked: TimeRange | None, preset: str | None, number: int) -> str:
    now_ms, questions = site.now_ms(), site.questions
    fleet = questions.fleet()
    if asked is None:
        preset = default_preset(questions, [view.probe for view in fleet], now_ms=now_ms)
        asked = preset_range(preset, now_ms=now_ms)
    page = ask_range(questions, asked, now_ms=now_ms)
    facts = store_facts(fleet, now_ms=now_ms)
    return site.render(
        "coordinator.html",
        page=page,
        preset=preset,
        presets=PRESETS,
        base="/",
        fleet=fleet,
        store=facts,
        paging=_paging(page.table, number),
        state=_state(fleet, facts),
        shown_max=EVENTS_SHOWN_MAX,
    )


def _paging(table: StripTable, number: int) -> Paging:
    count = max(1, -(-len(table.rows) // ROWS_A_PAGE))
    if number > count:
        raise NotFoundError(f"cannot show page {number}: there are {count}")
    first = (number - 1) * ROWS_A_PAGE
    return Paging(number, count, table.rows[first : first + ROWS_A_PAGE])


def _state(fleet: tuple[ProbeView, ...], facts: StoreFacts) -> str:
    """Return what kind of page this is: nobody there yet, nothing come in yet, or filled."""
    if not fleet:
        return "no_probe"
    return "filled" if facts.records or facts.unverified else "no_record"
