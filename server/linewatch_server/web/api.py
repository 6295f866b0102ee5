"""The JSON behind the pages: each handler asks in a thread and encodes an answer of answers.py."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice

import msgspec
from aiohttp import web

from linewatch_core.ids import ProbeId
from linewatch_server.exports.quarantine import quarantine_json
from linewatch_server.exports.samples import csv_lines, json_chunks
from linewatch_server.web.answers import (
    EventsAnswer,
    FleetAnswer,
    HealthAnswer,
    ProbeAnswer,
    StripsAnswer,
    TargetsAnswer,
)
from linewatch_server.web.drawing import draw_strips
from linewatch_server.web.parameters import (
    RANGE_PARAMETERS,
    check_names,
    read_line,
    read_probe,
    require_range,
)
from linewatch_server.web.probe_data import check_line, count_targets, find_probe
from linewatch_server.web.ranges import DAY_MS, TimeRange
from linewatch_server.web.refusals import RefusedError
from linewatch_server.web.seen import Answer
from linewatch_server.web.site import SITE, Site, outside

SAMPLES_RANGE_MS_MAX = 31 * DAY_MS
"""A month of two lines is 1.6 million samples: an hour over Tor."""
_BATCH = 500
_NOBODY = ProbeId("a" * 16)
_MEDIA = {"csv": "text/csv", "json": "application/json"}


async def get_fleet(request: web.Request) -> web.Response:
    """Answer `/api/fleet`."""
    check_names(request.query, ())
    site = request.app[SITE]
    probes = await outside(request, site.questions.fleet)
    return answer(FleetAnswer(now_ms=site.now_ms(), holds_key=site.holds_key, probes=probes))


async def get_strips(request: web.Request) -> web.Response:
    """Answer `/api/strips`."""
    check_names(request.query, RANGE_PARAMETERS)
    site = request.app[SITE]
    wanted = require_range(request.query, now_ms=site.now_ms())
    drawn = await outside(request, draw_strips, site.questions, wanted)
    return answer(StripsAnswer(cell_ms=drawn.grid.cell_ms, strips=drawn.strips))


async def get_probe(request: web.Request) -> web.Response:
    """Answer `/api/probes/<id>`."""
    probe = read_probe(request.match_info["probe"])
    check_names(request.query, ())
    questions = request.app[SITE].questions
    view = await outside(request, find_probe, questions, probe)
    lines = await outside(request, questions.lines, probe)
    return answer(ProbeAnswer(probe=view, lines=lines))


async def get_targets(request: web.Request) -> web.Response:
    """Answer `/api/probes/<id>/targets`."""
    probe = read_probe(request.match_info["probe"])
    check_names(request.query, RANGE_PARAMETERS | {"line"})
    site = request.app[SITE]
    wanted = require_range(request.query, now_ms=site.now_ms())
    line = read_line(request.query)
    if line is None:
        raise RefusedError("cannot answer without a line: add line= and its id, such as fixed-1")
    return answer(await outside(request, _targets, site, probe, line, wanted))


def _targets(site: Site, probe: ProbeId, line: str, wanted: TimeRange) -> TargetsAnswer:
    find_probe(site.questions, probe)
    counted = count_targets(site.questions, probe, line, wanted)
    if not counted.targets:
        check_line(site.questions.lines(probe), line)
    return TargetsAnswer(
        probe=probe,
        line=line,
        from_ms=wanted.from_ms,
        to_ms=wanted.to_ms,
        counted="samples" if counted.from_samples else "windows",
        targets=counted.targets,
    )


async def get_events(request: web.Request) -> web.Response:
    """Answer `/api/events`."""
    return await _events(request, None)


async def get_probe_events(request: web.Request) -> web.Response:
    """Answer `/api/probes/<id>/events`."""
    return await _events(request, read_probe(request.match_info["probe"]))


async def _events(request: web.Request, probe: ProbeId | None) -> web.Response:
    check_names(request.query, RANGE_PARAMETERS)
    site = request.app[SITE]
    wanted = require_range(request.query, now_ms=site.now_ms())
    if probe is not None:
        await outside(request, find_probe, site.questions, probe)
    events = await outside(
        request, site.questions.events, wanted.from_ms, wanted.to_ms, probe=probe
    )
    return answer(
        EventsAnswer(probe=probe, from_ms=wanted.from_ms, to_ms=wanted.to_ms, events=events)
    )


async def get_samples(request: web.Request) -> web.StreamResponse:
    """Answer `/api/probes/<id>/samples`, in pieces: memory does not grow with the range."""
    probe = read_probe(request.match_info["probe"])
    check_names(request.query, RANGE_PARAMETERS | {"line", "format"})
    site = request.app[SITE]
    wanted = require_range(request.query, now_ms=site.now_ms())
    line, form = read_line(request.query), request.query.get("format", "json")
    if form not in _MEDIA:
        raise RefusedError(f"cannot use format={form[:40]!r}: expected csv or json")
    if wanted.length_ms > SAMPLES_RANGE_MS_MAX:
        days = SAMPLES_RANGE_MS_MAX // DAY_MS
        raise RefusedError(f"cannot send this many samples: ask for at most {days} days at a time")
    pieces = await outside(request, _open_samples, site, probe, line, wanted, form)
    return await _stream(request, pieces, media=_MEDIA[form], name=f"linewatch-{probe}.{form}")


async def get_quarantine(request: web.Request) -> web.StreamResponse:
    """Answer `/api/probes/<id>/quarantine`, in pieces: a message each."""
    probe = read_probe(request.match_info["probe"])
    check_names(request.query, ())
    questions = request.app[SITE].questions
    await outside(request, find_probe, questions, probe)
    pieces = quarantine_json(probe, questions.opened_quarantine(probe))
    return await _stream(
        request, pieces, media=_MEDIA["json"], name=f"linewatch-{probe}-quarantine.json"
    )


async def _stream(
    request: web.Request, pieces: Generator[str, None, None], *, media: str, name: str
) -> web.StreamResponse:
    """Answer with a file, piece by piece; an error of the first one is told in words."""
    with closing(pieces):
        piece = await outside(request, _next_piece, pieces)
        response = web.StreamResponse()
        response.content_type, response.charset = media, "utf-8"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        await response.prepare(request)
        while piece:
            await response.write(piece.encode())
            piece = await outside(request, _next_piece, pieces)
        await response.write_eof()
    return response


def _open_samples(
    site: Site, probe: ProbeId, line: str | None, wanted: TimeRange, form: str
) -> Generator[str, None, None]:
    find_probe(site.questions, probe)
    if line is not None:
        check_line(site.questions.lines(probe), line)
    rows = site.questions.samples(probe, line, wanted.from_ms, wanted.to_ms)
    return _joined(csv_lines(rows) if form == "csv" else json_chunks(rows))


def _joined(pieces: Iterable[str]) -> Generator[str, None, None]:
    """Yield pieces joined by the hundreds: a thread and a write each would be slow."""
    waiting = iter(pieces)
    while piece := "".join(islice(waiting, _BATCH)):
        yield piece


def _next_piece(pieces: Iterator[str]) -> str:
    return next(pieces, "")


async def get_health(request: web.Request) -> web.Response:
    """Answer `/healthz`: a question that costs little, put to the index."""
    check_names(request.query, ())
    await outside(request, request.app[SITE].questions.lines, _NOBODY)
    return answer(HealthAnswer(status="ok"))


def answer(value: Answer, *, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
