"""Groups of numbers come back exactly, and cut or padded ones are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.segment.numbers import NumberReader, NumberWriter
from linewatch_core.segment.numbers import _best_parameter as best_parameter

GROUPS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-50, 50)), max_size=6)


@given(GROUPS)
def test_groups_round_trip(groups: list[list[int]]) -> None:
    """Any groups of signed 64-bit numbers come back in order."""
    writer = NumberWriter()
    for group in groups:
        writer.put(group)
    reader = NumberReader(writer.finish())
    assert [reader.take(len(group)) for group in groups] == groups
    reader.end()


EXCESS = st.lists(
    st.integers(0, 9) | st.integers(0, 3000) | st.integers(0, 2**64), min_size=1, max_size=30
)


@given(EXCESS)
def test_the_parameter_is_the_least_of_the_best(excess: list[int]) -> None:
    """The search that stops early finds what trying every parameter would: bytes stay the same."""
    bits = [sum(min(n >> k, 20) + 1 + k for n in excess) for k in range(15)]
    assert best_parameter(excess) == (bits.index(min(bits)) if any(excess) else 15)


def test_noise_costs_about_its_entropy() -> None:
    """Two hundred values spread over 1,024 steps of 10 µs take at most 11.5 bits each."""
    writer = NumberWriter()
    writer.put([20_000 + 10 * (n * 617 % 1024) for n in range(200)])
    assert len(writer.finish()) <= 200 * 11.5 / 8


def test_a_constant_group_costs_three_bytes() -> None:
    """A column that never changes is stored once."""
    writer = NumberWriter()
    writer.put([0] * 200)
    assert len(writer.finish()) <= 3


@given(st.binary(max_size=60), st.integers(1, 50))
def test_any_bits_give_numbers_or_malformed(data: bytes, count: int) -> None:
    """Noise in place of numbers never raises anything but MalformedError."""
    reader = NumberReader(data)
    try:
        values = reader.take(count)
    except MalformedError:
        return
    assert len(values) == count


@pytest.mark.parametrize("extra", [b"\x00", b"\x01"])
def test_bits_after_the_last_number_are_told(extra: bytes) -> None:
    """A tail longer than its groups is refused, whatever is in it."""
    writer = NumberWriter()
    writer.put([1, 2, 3])
    reader = NumberReader(writer.finish() + extra)
    reader.take(3)
    with pytest.raises(MalformedError, match="bits follow"):
        reader.end()
