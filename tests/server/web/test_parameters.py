"""Parameters of requests: read right, or refused with a sentence."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from linewatch_server.web import parameters
from linewatch_server.web.ranges import TimeRange
from linewatch_server.web.refusals import RefusedError
from tests.support.example_fleet import NOW_MS


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T14:30Z",
        "2026-01-05T14:30",
        "2026-01-05 14:30",
        "2026-01-05T14:30:00.000Z",
        "2026-01-05T19:30+05:00",
        "20260105T143000Z",
    ],
)
def test_forms_of_a_time(text: str) -> None:
    """ISO-8601 in its usual forms is read, as UTC unless it has an offset."""
    assert parameters.read_time("from", text) == NOW_MS


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"range": "1h"}, "expected 30min, 2h"),
        ({"range": "2h", "from": "2026-01-05"}, "give one or the other"),
        ({"from": "2026-01-05"}, "give both"),
        ({"from": "2026-01-05", "to": "yesterday"}, "expected a time in UTC such as"),
        ({"from": "2026-01-05", "to": "2026-01-05"}, "must be later"),
        ({"from": "2026-01-06", "to": "2026-01-05"}, "must be later"),
        ({"from": "2020-01-01", "to": "2026-01-05"}, "longer than 400 days"),
        ({"from": "1900-01-01", "to": "2026-01-05"}, "expected a time in UTC"),
    ],
)
def test_bad_ranges_are_told(query: dict[str, str], reason: str) -> None:
    """Each way to get a range wrong has its sentence."""
    with pytest.raises(RefusedError, match=reason):
        parameters.read_range(MultiDict(query), now_ms=NOW_MS)


def test_range_from_and_to() -> None:
    """`from` and `to` give the range, and without any there is none."""
    query = MultiDict({"from": "2026-01-05T14:00Z", "to": "2026-01-05T14:30Z"})
    expected = TimeRange(NOW_MS - 1_800_000, NOW_MS)
    assert parameters.read_range(query, now_ms=0) == expected
    assert parameters.read_range(MultiDict(), now_ms=NOW_MS) is None
    with pytest.raises(RefusedError, match="add from="):
        parameters.require_range(MultiDict(), now_ms=NOW_MS)


def test_unknown_and_double_parameters() -> None:
    """A misspelt or repeated parameter is refused, not passed over."""
    with pytest.raises(RefusedError, match="'form': expected from, range, to"):
        parameters.check_names(MultiDict(form="x"), parameters.RANGE_PARAMETERS)
    twice = MultiDict([("to", "a"), ("to", "b")])
    with pytest.raises(RefusedError, match="twice"):
        parameters.check_names(twice, parameters.RANGE_PARAMETERS)


def _refusal(read: Callable[[], object]) -> str | None:
    """Return the sentence with which reading was refused, or None if it was not."""
    try:
        read()
    except RefusedError as error:
        return str(error)
    return None


@given(st.text(), st.text(), st.text())
def test_any_range_is_read_or_refused(name: str, start: str, end: str) -> None:
    """Whatever text stands there, a range comes out, or one line."""
    query = MultiDict({"range": name, "from": start, "to": end})
    refusal = _refusal(lambda: parameters.read_range(query, now_ms=NOW_MS))
    assert refusal is None or (refusal.startswith("cannot ") and "\n" not in refusal)


@given(st.text())
def test_any_id_is_read_or_refused(text: str) -> None:
    """Pages, lines and probes are ids, or refused with what was expected."""
    page = _refusal(lambda: parameters.read_page(MultiDict(page=text)))
    line = _refusal(lambda: parameters.read_line(MultiDict(line=text)))
    probe = _refusal(lambda: parameters.read_probe(text))
    assert page is None or "expected a number" in page
    assert line is None or "expected a line's id" in line
    assert probe is None or "not a probe id" in probe


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "٣", "99999", " 1"])
def test_pages_are_plain_numbers(text: str) -> None:
    """Only digits from 1 make a page number."""
    with pytest.raises(RefusedError, match="expected a number from 1"):
        parameters.read_page(MultiDict(page=text))
