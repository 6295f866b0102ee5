"""Varints have one spelling, and the reader never runs past its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import LimitError, MalformedError
from linewatch_core.segment.wire import NUMBER_MAX, Reader, varint


@given(st.integers(0, NUMBER_MAX))
def test_varints_round_trip(number: int) -> None:
    """Every number of the range comes back and takes all its bytes."""
    reader = Reader(varint(number), subject="test")
    assert reader.varint("number") == number
    reader.end()


@given(st.binary(min_size=1, max_size=12))
def test_a_varint_has_one_spelling(data: bytes) -> None:
    """Whatever bytes are accepted as a number are the ones that would be written."""
    reader = Reader(data, subject="test")
    try:
        number = reader.varint("number")
    except MalformedError:
        return
    assert varint(number) == data[: reader.at]


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (b"", "ends within its number"),
        (b"\x80", "ends within its number"),
        (b"\x80\x00", "needless bytes"),
    ],
)
def test_bad_varints_are_told(data: bytes, fragment: str) -> None:
    """Cut and padded numbers name what is wrong."""
    with pytest.raises(MalformedError, match=f"cannot read test: .*{fragment}"):
        Reader(data, subject="test").varint("number")


def test_a_varint_above_63_bits_is_beyond_the_limit() -> None:
    """A tenth byte is never read."""
    with pytest.raises(LimitError, match="number is above"):
        Reader(b"\xff" * 9 + b"\x01", subject="test").varint("number")


@pytest.mark.parametrize("number", [-1, NUMBER_MAX + 1])
def test_numbers_out_of_range_are_not_written(number: int) -> None:
    """A caller's bug stops at the caller."""
    with pytest.raises(ValueError, match="a varint holds"):
        varint(number)
