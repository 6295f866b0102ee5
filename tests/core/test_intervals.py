"""Sets of sequence numbers against Python's own sets."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.intervals import SeqSet

SMALL = st.integers(0, 40)
RANGES = st.tuples(SMALL, SMALL).map(lambda pair: (min(pair), max(pair)))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "discard"]), RANGES), max_size=25)


def build(steps: list[tuple[str, tuple[int, int]]]) -> tuple[SeqSet, set[int]]:
    """Do the same to a SeqSet and to a plain set."""
    ours, plain = SeqSet(), set[int]()
    for name, (first, last) in steps:
        numbers = set(range(first, last + 1))
        if name == "add":
            ours.add(first, last)
            plain |= numbers
        else:
            ours.discard(first, last)
            plain -= numbers
    return ours, plain


def numbers_of(ranges: list[tuple[int, int]]) -> set[int]:
    """Return the numbers in ranges."""
    return {n for first, last in ranges for n in range(first, last + 1)}


@given(STEPS)
def test_add_and_discard_do_what_a_set_does(steps: list[tuple[str, tuple[int, int]]]) -> None:
    """Any history of adds and discards leaves the same numbers, first, last and count."""
    ours, plain = build(steps)
    assert numbers_of(list(ours)) == plain
    assert ours.count() == len(plain)
    assert (ours.first(), ours.last()) == (min(plain, default=None), max(plain, default=None))
    assert bool(ours) is bool(plain)


@given(STEPS)
def test_ranges_ascend_and_never_touch(steps: list[tuple[str, tuple[int, int]]]) -> None:
    """Equal sets have one spelling: ranges ascend with a hole between each two."""
    ours, _ = build(steps)
    ranges = list(ours)
    assert all(first <= last for first, last in ranges)
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(ranges))


@given(STEPS, RANGES)
def test_questions_about_a_range(
    steps: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    """Covers, overlaps and missing agree with the plain set."""
    ours, plain = build(steps)
    numbers = set(range(asked[0], asked[1] + 1))
    assert ours.covers(*asked) is (numbers <= plain)
    assert ours.overlaps(*asked) is bool(numbers & plain)
    assert numbers_of(ours.missing(*asked)) == numbers - plain


@given(STEPS, STEPS)
def test_difference_and_equality(
    left: list[tuple[str, tuple[int, int]]], right: list[tuple[str, tuple[int, int]]]
) -> None:
    """Difference takes away what the other has and changes neither; equality is of numbers."""
    ours, plain = build(left)
    other, other_plain = build(right)
    assert numbers_of(list(ours.difference(other))) == plain - other_plain
    assert numbers_of(list(ours)) == plain
    assert numbers_of(list(other)) == other_plain
    assert (ours == other) is (plain == other_plain)
    assert SeqSet(list(ours)) == ours


def test_a_range_the_wrong_way_round_is_a_bug() -> None:
    """An empty range is refused, not ignored; `missing` alone takes one, as nothing missing."""
    seqs = SeqSet([(3, 5)])
    for method in (seqs.add, seqs.discard, seqs.covers, seqs.overlaps):
        with pytest.raises(ValueError, match="empty range: 5\\.\\.4"):
            method(5, 4)
    assert seqs.missing(1, 0) == []


def test_a_set_may_change_while_it_is_walked() -> None:
    """Iteration is over what was there when it began."""
    seqs = SeqSet([(1, 2), (4, 5), (7, 8)])
    for first, last in seqs:
        seqs.discard(first, last)
    assert not seqs


def test_memory_is_per_range() -> None:
    """A million numbers in one run are one range."""
    seqs = SeqSet()
    for first in range(1, 1_000_001, 1000):
        seqs.add(first, first + 999)
    assert list(seqs) == [(1, 1_000_000)]
    assert repr(seqs) == "SeqSet([(1, 1000000)])"
