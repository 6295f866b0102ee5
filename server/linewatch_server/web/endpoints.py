"""The one table of what this server answers: routes are made of it, openapi.py describes it.

So neither can say more than the other.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from linewatch_server.web import answers, api, documents
from linewatch_server.web.coordinator import show_coordinator
from linewatch_server.web.parameters import EXAMPLE
from linewatch_server.web.probe import show_probe
from linewatch_server.web.ranges import PRESETS
from linewatch_server.web.rendering import STYLE_PATH


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query."""

    name: str
    text: str
    schema: dict[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path.

    Attributes:
        answer: the type of its JSON answer; None if it answers other things, or none.
        media: the media types of its answer, the usual one first.
    """

    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    text: str
    parameters: tuple[Parameter, ...] = ()
    answer: Any = None
    media: tuple[str, ...] = ("application/json",)


_TIME = {"type": "string", "examples": [EXAMPLE]}
_RANGE = (
    Parameter("from", "Start, included: ISO-8601, in UTC unless it has an offset.", _TIME),
    Parameter("to", "End, excluded.", _TIME),
    Parameter(
        "range",
        "A range that ends now, instead of `from` and `to`.",
        {"type": "string", "enum": list(PRESETS)},
    ),
)
_LINE = Parameter("line", "A line's id.", {"type": "string", "examples": ["fixed-1"]})
_FORMAT = Parameter("format", "The form.", {"type": "string", "enum": ["json", "csv"]})
_PAGE = Parameter("page", "Which part of a long list.", {"type": "integer", "minimum": 1})
_HTML = ("text/html",)

ENDPOINTS = (
    Endpoint("/", show_coordinator, "The coordinator's page.", (*_RANGE, _PAGE), media=_HTML),
    Endpoint("/probe/{probe}", show_probe, "The page of one probe.", _RANGE, media=_HTML),
    Endpoint("/api/fleet", api.get_fleet, "Every probe.", answer=answers.FleetAnswer),
    Endpoint("/api/strips", api.get_strips, "Strips of every line.", _RANGE, answers.StripsAnswer),
    Endpoint("/api/events", api.get_events, "Events of every probe.", _RANGE, answers.EventsAnswer),
    Endpoint("/api/probes/{probe}", api.get_probe, "One probe.", answer=answers.ProbeAnswer),
    Endpoint(
        "/api/probes/{probe}/targets",
        api.get_targets,
        "What each check of each target gave on one line.",
        (*_RANGE, Parameter(_LINE.name, _LINE.text, _LINE.schema, required=True)),
        answers.TargetsAnswer,
    ),
    Endpoint(
        "/api/probes/{probe}/events",
        api.get_probe_events,
        "Events of one probe.",
        _RANGE,
        answers.EventsAnswer,
    ),
    Endpoint(
        "/api/probes/{probe}/samples",
        api.get_samples,
        "Samples in order of time, at most 31 days at once.",
        (*_RANGE, _LINE, _FORMAT),
        list[answers.SampleAnswer],
        ("application/json", "text/csv"),
    ),
    Endpoint(
        "/api/probes/{probe}/quarantine",
        api.get_quarantine,
        "What was kept of one probe and is not believed, with its records.",
        answer=answers.QuarantineAnswer,
    ),
    Endpoint("/api/openapi.json", documents.get_openapi, "This document.", answer=dict[str, Any]),
    Endpoint("/healthz", api.get_health, "Whether the server works.", answer=answers.HealthAnswer),
    Endpoint(STYLE_PATH, documents.get_style, "The style of the pages.", media=("text/css",)),
    Endpoint("/favicon.ico", documents.get_icon, "No icon.", media=()),
)
