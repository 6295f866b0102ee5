"""Templates: one environment that escapes everything, and the filters of times and numbers.

No word of any language here; those are in templates/. Times come as Unix ms of
UTC and are written as UTC with `Z`.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from linewatch_core.timebase import Interval

STYLE = resources.files(__package__).joinpath("static/linewatch.css").read_bytes()
STYLE_PATH = "/static/linewatch.css"
SHORT_ID = 6
"""Characters of a probe's id on a page: 30 bits tell a thousand probes apart."""
SURE_MS = 2_000
"""A moment known this well is shown as one moment, rounded to the second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_environment() -> Environment:
    """Return the environment of all pages."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seconds": lambda ms: format_utc(ms, "%Y-%m-%d %H:%M:%S"),
        "minutes": lambda ms: format_utc(ms, "%Y-%m-%d %H:%M"),
        "day": lambda ms: format_utc(ms, "%m-%d"),
        "clock": lambda ms: format_utc(ms, "%H:%M"),
        "iso": lambda ms: format_utc(ms, "%Y-%m-%dT%H:%M:%SZ"),
        "number": lambda number: f"{number:,}",
        "percent": format_percent,
        "ms": lambda us: f"{us / 1000:,.1f}",
        "duration": format_length,
        "short": lambda probe: probe[:SHORT_ID],
    }
    environment.globals |= {
        "style_url": f"{STYLE_PATH}?v={sha256(STYLE).hexdigest()[:12]}",
        "link": link,
        "is_sure": is_sure,
        "numbers": range,
    }
    return environment


def format_utc(utc_ms: int, form: str) -> str:
    """Return a moment in a form of strftime; years beyond 1 to 9999 as their milliseconds."""
    try:
        return (_EPOCH + timedelta(milliseconds=utc_ms)).strftime(form)
    except (OverflowError, ValueError):
        return f"{utc_ms} ms"


def format_percent(part: int, whole: int) -> str:
    """Return a share; 0 % and 100 % only for none and all."""
    if part in {0, whole}:
        return "100" if part else "0"
    return f"{min(max(part * 100 / whole, 0.1), 99.9):.1f}"


def format_length(length_ms: int) -> str:
    """Return a duration in its two greatest units (`d`, `h`, `min`, `s`: SI and its companions)."""
    rest_s = max(0, round(length_ms / 1000))
    parts = []
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for unit, unit_s in units if rest_s >= 2 * 86_400 else units[1:]:
        count, rest_s = divmod(rest_s, unit_s)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def is_sure(at: Interval) -> bool:
    """Return whether a moment may be shown as one moment."""
    return at.width_ms is not None and at.width_ms <= SURE_MS and not at.disputed


def link(path: str, **query: object) -> str:
    """Return a path with its query; a trailing underscore of a name is dropped (`from_`)."""
    given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
