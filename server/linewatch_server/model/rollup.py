"""Roll-ups: checks counted by five minutes of monotonic time, merged exactly.

Pure. A tally of raw samples keeps every round-trip time, so that the merge of
any parts in any order is the tally of the whole; a probe's own roll records
keep only a summary each. Where both exist the fuller one counts, never the sum.
Source: docs/decisions/0007-rollups-in-monotonic-time.md.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from sys import byteorder
from typing import NamedTuple

from linewatch_core.errors import MalformedError
from linewatch_core.records import ROLL_WINDOW_MS, RTT_QUANTUM_US, UNCOUNTED, Roll, Sample

_RTT_US_MAX = 3_600_000_000
"""An hour: no check runs that long, and more would not fit the packed form."""
_COUNT_MAX = 1_000_000


class Series(NamedTuple):
    """What one tally counts: a window of a boot's clock on one line, target and check."""

    window: int
    line: str
    target: str
    check: str


class RttSummary(NamedTuple):
    """What a probe's roll record keeps of its round-trip times, in µs, and of how many."""

    answered: int
    min_us: int
    median_us: int
    p95_us: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of checks and their times; merged with `+`, in any order.

    Attributes:
        sent, answered: how many checks ran, and how many had no failure.
        failures: how often each failure name occurred, sorted by name.
        rtts: every round-trip time in steps of 10 µs, ascending (raw samples).
        summaries: one per roll record that had times, sorted (a probe's own).
    """

    sent: int = 0
    answered: int = 0
    failures: tuple[tuple[str, int], ...] = ()
    rtts: tuple[int, ...] = ()
    summaries: tuple[RttSummary, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        return merge((self, other))


@dataclass(frozen=True, slots=True)
class RttStats:
    """Round-trip times of many checks, in µs; `exact` is False where summaries are in it."""

    min_us: int
    median_us: int
    p95_us: int
    exact: bool


def merge(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of all the checks in `tallies` together."""
    parts = list(tallies)
    if len(parts) == 1:
        return parts[0]
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update(dict(part.failures))
    return Tally(
        sent=sum(part.sent for part in parts),
        answered=sum(part.answered for part in parts),
        failures=tuple(sorted(failures.items())),
        rtts=tuple(sorted(chain.from_iterable(part.rtts for part in parts))),
        summaries=tuple(sorted(chain.from_iterable(part.summaries for part in parts))),
    )


def fuller(raw: Tally | None, own: Tally | None) -> Tally:
    """Return the tally with more checks, of raw samples and of a probe's own roll records."""
    if raw is None or own is None:
        return raw or own or Tally()
    return own if own.sent > raw.sent else raw


def tally_samples(samples: Iterable[Sample]) -> dict[Series, Tally]:
    """Return the tallies of samples, each in the window of its slot.

    Those of `UNCOUNTED` checks are left out.

    Raises:
        MalformedError: a time in them is impossible.
    """
    grouped: defaultdict[Series, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.slot_ms < 0 or not 0 <= (sample.rtt_us or 0) <= _RTT_US_MAX:
            raise MalformedError(f"a sample's times are impossible: slot {sample.slot_ms} ms")
        if sample.check in UNCOUNTED:
            continue
        window = sample.slot_ms // ROLL_WINDOW_MS
        grouped[Series(window, sample.line, sample.target, sample.check)].append(sample)
    return {series: _tally(found) for series, found in grouped.items()}


def tally_rolls(rolls: Iterable[Roll]) -> dict[Series, Tally]:
    """Return the tallies that a probe's own roll records give, merged per series.

    Raises:
        MalformedError: the counts in one do not add up.
    """
    grouped: defaultdict[Series, list[Tally]] = defaultdict(list)
    for roll in rolls:
        if not 0 <= roll.answered <= roll.sent <= _COUNT_MAX or roll.window < 0:
            raise MalformedError(f"a roll record counts {roll.answered} of {roll.sent} checks")
        if roll.check in UNCOUNTED:
            continue
        series = Series(roll.window, roll.line, roll.target, roll.check)
        grouped[series].append(
            Tally(roll.sent, roll.answered, _failures_of(roll), (), _summaries_of(roll))
        )
    return {series: merge(parts) for series, parts in grouped.items()}


def rtt_stats(tallies: Iterable[Tally]) -> RttStats | None:
    """Return minimum, median and 95th percentile by nearest rank; None if nothing was timed.

    A summary counts as its median (for the median) or its 95th percentile (for
    that), as often as it had answers: an estimate, and marked so.
    """
    whole = merge(tallies)
    rtts = [rtt * RTT_QUANTUM_US for rtt in whole.rtts]
    summaries = whole.summaries
    if not rtts and not summaries:
        return None
    single = [(rtt, 1) for rtt in rtts]
    return RttStats(
        min_us=min(rtts[:1] + [s.min_us for s in summaries]),
        median_us=_rank(single + [(s.median_us, s.answered) for s in summaries], 50),
        p95_us=_rank(single + [(s.p95_us, s.answered) for s in summaries], 95),
        exact=not summaries,
    )


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Return numbers as unsigned 32-bit little-endian."""
    packed = array("I", numbers)
    if byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_numbers(data: bytes) -> tuple[int, ...]:
    """Return what `pack_numbers` packed."""
    packed = array("I", data)
    if byteorder == "big":
        packed.byteswap()
    return tuple(packed)


def pack_summaries(summaries: Iterable[RttSummary]) -> bytes:
    """Return summaries as four packed numbers each."""
    return pack_numbers(list(chain.from_iterable(summaries)))


def unpack_summaries(data: bytes) -> tuple[RttSummary, ...]:
    """Return what `pack_summaries` packed."""
    numbers = unpack_numbers(data)
    return tuple(RttSummary(*numbers[at : at + 4]) for at in range(0, len(numbers), 4))


def _tally(samples: Sequence[Sample]) -> Tally:
    failures = Counter(s.failure for s in samples if s.failure is not None)
    answered = [s for s in samples if s.failure is None]
    rtts = sorted(s.rtt_us // RTT_QUANTUM_US for s in answered if s.rtt_us is not None)
    return Tally(len(samples), len(answered), tuple(sorted(failures.items())), tuple(rtts))


def _failures_of(roll: Roll) -> tuple[tuple[str, int], ...]:
    if any(not 0 <= count <= _COUNT_MAX for count in roll.failures.values()):
        raise MalformedError("a roll record counts its failures impossibly")
    return tuple(sorted(roll.failures.items()))


def _summaries_of(roll: Roll) -> tuple[RttSummary, ...]:
    times = (roll.rtt_min_us, roll.rtt_median_us, roll.rtt_p95_us)
    if not roll.answered or None in times:
        return ()
    known = [time for time in times if time is not None]
    if any(not 0 <= time <= _RTT_US_MAX for time in known):
        raise MalformedError("a roll record's times are impossible")
    return (RttSummary(roll.answered, *known),)


def _rank(weighted: Iterable[tuple[int, int]], percent: int) -> int:
    ordered = sorted(weighted)
    total = sum(weight for _, weight in ordered)
    wanted = -(-total * percent // 100)
    reached = 0
    for value, weight in ordered:
        reached += weight
        if reached >= wanted:
            return value
    raise ValueError("no value has any weight")
