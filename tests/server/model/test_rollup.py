"""Roll-up maths: merging in any order and grouping gives the tally of the whole."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.records import Check, Sample
from linewatch_server.model.rollup import (
    RttSummary,
    Series,
    Tally,
    fuller,
    merge,
    pack_numbers,
    pack_summaries,
    rtt_stats,
    tally_rolls,
    tally_samples,
    unpack_numbers,
    unpack_summaries,
)
from tests.support.probes import roll, sample
from tests.support.records import realistic_samples

SAMPLES = st.builds(
    lambda mono, line, target, failure, rtt: sample(
        mono, line=line, target=target, failure=failure, rtt_us=10 * rtt
    ),
    st.integers(0, 1_000_000),
    st.sampled_from(["fixed-1", "mobile-1"]),
    st.sampled_from(["bank", "shop"]),
    st.sampled_from([None, None, "eof_error", "generic_timeout_error"]),
    st.integers(0, 500_000),
)


def merged(groups: list[list[Sample]]) -> dict[Series, Tally]:
    """Return the tallies of groups, merged one after the other."""
    whole: dict[Series, Tally] = {}
    for group in groups:
        for series, tally in tally_samples(group).items():
            whole[series] = whole.get(series, Tally()) + tally
    return whole


@given(st.lists(SAMPLES, max_size=60), st.integers(1, 7), st.randoms(use_true_random=False))
def test_any_split_in_any_order_merges_to_the_whole(
    samples: list[Sample], size: int, rng: random.Random
) -> None:
    """How samples fell into segments, and how those arrived, leaves no trace."""
    groups = [samples[at : at + size] for at in range(0, len(samples), size)]
    rng.shuffle(groups)
    assert merged(groups) == tally_samples(samples)


@given(st.lists(SAMPLES, max_size=60))
def test_a_tally_counts_each_check_once(samples: list[Sample]) -> None:
    """Sent is answered plus failures, over all series together."""
    whole = merge(tally_samples(samples).values())
    assert whole.sent == len(samples)
    assert whole.answered + sum(count for _, count in whole.failures) == whole.sent
    assert len(whole.rtts) == whole.answered


def test_a_sample_falls_into_the_window_of_its_slot() -> None:
    """Late by its start, a check still belongs to the round it was due in."""
    late = sample(300_002, slot_ms=299_990)
    assert list(tally_samples([late])) == [Series(0, "fixed-1", "bank", Check.TCP)]


def test_roll_records_of_one_window_add_up() -> None:
    """An agent that restarts within a window writes two; they are two parts of it."""
    (tally,) = tally_rolls(
        [roll(4, sent=3, answered=2, failures={"eof_error": 1}), roll(4, rtt_min_us=5_000)]
    ).values()
    assert (tally.sent, tally.answered, tally.failures) == (13, 12, (("eof_error", 1),))
    stats = rtt_stats([tally])
    assert stats is not None
    assert (stats.min_us, stats.median_us, stats.exact) == (5_000, 11_000, False)


def test_statistics_are_of_the_nearest_rank() -> None:
    """Of a hundred times, the 50th and the 95th."""
    stats = rtt_stats([Tally(100, 100, (), tuple(range(1, 101)))])
    assert stats is not None
    assert (stats.min_us, stats.median_us, stats.p95_us, stats.exact) == (10, 500, 950, True)
    assert rtt_stats([Tally(3, 0, (("eof_error", 3),))]) is None


def test_a_summary_weighs_as_much_as_its_answers() -> None:
    """One long window outweighs a short one in the median, but not in the minimum."""
    long, short = RttSummary(90, 100, 200, 300), RttSummary(10, 5, 9_000, 9_900)
    stats = rtt_stats([Tally(100, 100, (), (), (long, short))])
    assert stats is not None
    assert (stats.min_us, stats.median_us, stats.p95_us) == (5, 200, 9_900)


@pytest.mark.parametrize(("raw", "own", "expected"), [(9, 10, 10), (10, 10, 10), (10, 3, 10)])
def test_the_fuller_source_counts(raw: int, own: int, expected: int) -> None:
    """Never the sum; on a tie the samples, which carry exact times."""
    chosen = fuller(Tally(raw, 1), Tally(own, 2))
    assert (chosen.sent, chosen.answered) == (expected, 2 if own > raw else 1)
    assert fuller(None, Tally(own)).sent == own
    assert fuller(None, None) == Tally()


@pytest.mark.parametrize(
    "wrong",
    [
        {"answered": 11},
        {"sent": -1, "answered": -2},
        {"sent": 2**62},
        {"failures": {"eof_error": -1}},
        {"rtt_p95_us": 2**40},
    ],
)
def test_impossible_roll_records_are_malformed(wrong: dict[str, object]) -> None:
    """Counts and times that no probe can have measured are refused."""
    with pytest.raises(MalformedError):
        tally_rolls([roll(1, **wrong)])


@pytest.mark.parametrize("wrong", [{"slot_ms": -1}, {"rtt_us": -10}, {"rtt_us": 2**45}])
def test_impossible_samples_are_malformed(wrong: dict[str, object]) -> None:
    """Times that no check can have are refused."""
    with pytest.raises(MalformedError):
        tally_samples([sample(1000, **wrong)])


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_packed_numbers_round_trip(numbers: list[int]) -> None:
    """What is stored of the times is what was counted."""
    assert list(unpack_numbers(pack_numbers(numbers))) == numbers
    summaries = [RttSummary(*numbers[at : at + 4]) for at in range(0, len(numbers) - 3, 4)]
    assert list(unpack_summaries(pack_summaries(summaries))) == summaries


def test_realistic_samples_are_all_counted() -> None:
    """Every one of a thousand realistic samples is in exactly one series."""
    samples = [r.body for r in realistic_samples(1000, 5) if isinstance(r.body, Sample)]
    assert sum(tally.sent for tally in tally_samples(samples).values()) == 1000
