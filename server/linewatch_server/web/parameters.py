"""Reads the parameters of a request; whatever they are, a value or a RefusedError comes out.

Pure. A parameter that nobody knows is refused too: a misspelt `form=` would
otherwise show another time than was asked for.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from multidict import MultiMapping

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId, is_name, parse_probe_id
from linewatch_server.web.ranges import DAY_MS, PRESETS, RANGE_MS_MAX, TimeRange, preset_range
from linewatch_server.web.refusals import NotFoundError, RefusedError

EXAMPLE = "2026-01-05T14:30Z"
RANGE_PARAMETERS = frozenset({"range", "from", "to"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = 0, 4_102_444_800_000
"""1970 to 2099: no probe has measured outside of it."""
_PAGE = re.compile(r"[1-9][0-9]{0,3}")


def check_names(query: MultiMapping[str], known: Collection[str]) -> None:
    """Refuse a query that has an unknown parameter, or one twice."""
    for name in query:
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise RefusedError(f"cannot use the parameter {name[:40]!r}: expected {expected}")
        if len(query.getall(name)) > 1:
            raise RefusedError(f"cannot use {name}= twice: give it once")


def read_range(query: MultiMapping[str], *, now_ms: int) -> TimeRange | None:
    """Return the range that `range`, or `from` and `to`, ask for; None if there are none."""
    name, start, end = (query.get(key, "").strip() for key in ("range", "from", "to"))
    if name and (start or end):
        raise RefusedError("cannot use range= beside from= and to=: give one or the other")
    if name:
        if name not in PRESETS:
            raise RefusedError(f"cannot use range={name[:40]!r}: expected {', '.join(PRESETS)}")
        return preset_range(name, now_ms=now_ms)
    if not start and not end:
        return None
    if not start or not end:
        raise RefusedError("cannot use from= without to=, or to= without from=: give both")
    wanted = TimeRange(read_time("from", start), read_time("to", end))
    if wanted.length_ms <= 0:
        raise RefusedError("cannot use this range: `to` must be later than `from`")
    if wanted.length_ms > RANGE_MS_MAX:
        days = RANGE_MS_MAX // DAY_MS
        raise RefusedError(f"cannot use this range: it is longer than {days} days; ask for less")
    return wanted


def require_range(query: MultiMapping[str], *, now_ms: int) -> TimeRange:
    """Return the range asked for, or refuse a query without one."""
    wanted = read_range(query, now_ms=now_ms)
    if wanted is None:
        raise RefusedError(f"cannot answer without a time range: add from={EXAMPLE} and to=...")
    return wanted


def read_time(name: str, text: str) -> int:
    """Return a moment as Unix ms. Without an offset it is UTC."""
    refusal = RefusedError(
        f"cannot read {name}={text[:40]!r}: expected a time in UTC such as {EXAMPLE}"
    )
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refusal from None
    utc_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not _FIRST_MS <= utc_ms <= _LAST_MS:
        raise refusal
    return utc_ms


def read_probe(text: str) -> ProbeId:
    """Return a probe id; what is none is not found."""
    try:
        return parse_probe_id(text)
    except MalformedError as error:
        raise NotFoundError(f"cannot show this probe: {error}") from None


def read_line(query: MultiMapping[str]) -> str | None:
    """Return the line that `line` names; None if the query has none."""
    line = query.get("line", "")
    if line and not is_name(line):
        raise RefusedError(f"cannot use line={line[:40]!r}: expected a line's id such as fixed-1")
    return line or None


def read_page(query: MultiMapping[str]) -> int:
    """Return the page number, from 1."""
    text = query.get("page", "1")
    if not _PAGE.fullmatch(text):
        raise RefusedError(f"cannot use page={text[:40]!r}: expected a number from 1")
    return int(text)
