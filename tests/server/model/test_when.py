"""Times as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_server.model.when import parse_utc_ms


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("1970-01-01", 0),
        ("2022-01-05T10:30:00Z", 1_641_378_600_000),
        ("2022-01-05T10:30:00", 1_641_378_600_000),
        ("2022-01-05 10:30", 1_641_378_600_000),
        ("2022-01-05T16:30:00+06:00", 1_641_378_600_000),
        ("2022-01-05T10:30:00.250Z", 1_641_378_600_250),
        ("1969-12-31T23:59:59Z", -1_000),
    ],
)
def test_iso_8601_in_utc_unless_it_says_otherwise(text: str, utc_ms: int) -> None:
    """With and without seconds, zone and fraction; the machine's own zone never counts."""
    assert parse_utc_ms(text) == utc_ms


@pytest.mark.parametrize("text", ["", "now", "yesterday", "1641378600", "2022-13-01", "05.01.2022"])
def test_what_is_no_time_says_what_is_expected(text: str) -> None:
    """One line with an example."""
    with pytest.raises(MalformedError, match="expected ISO 8601 in UTC, such as 2022-01-05T10:30"):
        parse_utc_ms(text)


@given(st.text(max_size=60) | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d\d-\d\d[ -~]*"))
def test_any_text_is_a_time_or_an_error_of_ours(text: str) -> None:
    """Years 1 and 9999 with any zone, surrogates, NULs."""
    with contextlib.suppress(MalformedError):
        assert isinstance(parse_utc_ms(text), int)
