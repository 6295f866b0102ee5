"""Dictionary coding and recency ranks give back what went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.segment.tables import Table, from_recency_ranks, lookup, recency_ranks


@given(st.lists(st.integers(0, 20)))
def test_recency_ranks_round_trip(values: list[int]) -> None:
    """Any order of series comes back from its ranks."""
    table = Table[int]()
    series_of = [table.place(value) for value in values]
    assert from_recency_ranks(recency_ranks(series_of)) == series_of


def test_a_repeated_round_is_all_ones() -> None:
    """An order that repeats costs nothing, whatever it is."""
    assert recency_ranks([0, 1, 2, 3] * 3) == [0] * 4 + [1] * 8


@given(st.lists(st.integers(-3, 9)))
def test_any_ranks_give_series_or_malformed(ranks: list[int]) -> None:
    """Ranks from the wire that point nowhere are told."""
    try:
        series_of = from_recency_ranks(ranks)
    except MalformedError:
        return
    assert recency_ranks(series_of) == ranks


@pytest.mark.parametrize("place", [-1, 2])
def test_a_place_outside_its_table_is_told(place: int) -> None:
    """A negative place does not count from the end."""
    with pytest.raises(MalformedError, match="of 2 in a table"):
        lookup(["a", "b"], place)
