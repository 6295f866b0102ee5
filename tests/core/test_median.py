"""The median is the library's."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.median import median


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_it_is_the_librarys(values: list[float]) -> None:
    """Of any numbers, in any order, the same to the last bit."""
    assert median(iter(values)) == statistics.median(values)


def test_of_nothing_there_is_none() -> None:
    """Whoever asks knows that there are values."""
    with pytest.raises(IndexError):
        median([])
