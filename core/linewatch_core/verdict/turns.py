"""Dating a change: the moments that the answers and silences of those who turned allow.

Each series (target, check, family) keeps its last outcomes. An answer proves that the
way was open, while a silence may be chance; so one lost packet must neither move nor
widen what is claimed, nor end it on the wrong side of the true moment.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from linewatch_core.details import AlternationDetail, Attempt
from linewatch_core.records import Sample
from linewatch_core.verdict.answers import TIMEOUT, answered

IN_FLIGHT_MS = 2000
"""A question without an answer was sent at most this long before its answer could not come."""
CHANCE_MAX = 2
"""So many silences on the wrong side of the change are taken for chance: at 2 % loss three
of them are a case in 125,000."""
SURE = CHANCE_MAX + 1
AGREE_SHARE_MIN = 2 / 3
"""Of the series that turned, so many must fit one moment; else the change took its time."""
OUTCOMES_MAX = 10
"""Outcomes kept of a series: a change is told, or given up as unsettled, in fewer rounds."""
SERIES_MAX = 2048


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """One sample of a series.

    Attributes:
        mono_ms: when it began.
        took_ms: how long it took to answer; 0 where there is no such time.
        answered: the host, or the resolver asked, answered at all.
        fine: it had no failure, in no part.
        sure: no lost packet explains it; only a question that waited in vain may be chance.
    """

    mono_ms: int
    took_ms: int
    answered: bool
    fine: bool
    sure: bool


def series_of(sample: Sample) -> str:
    """Return the key of a sample's series."""
    return f"{sample.target}|{sample.check.value}|{sample.family}"


def note(series: dict[str, list[Outcome]], sample: Sample) -> None:
    """Take a sample into account; samples must come in the order of `mono_ms`."""
    took_ms = -(-(sample.rtt_us or 0) // 1000)
    sure = sample.failure != TIMEOUT or isinstance(sample.detail, AlternationDetail)
    outcome = Outcome(sample.mono_ms, took_ms, answered(sample), _fine(sample), sure)
    keep(series, series_of(sample), outcome)


def keep(series: dict[str, list[Outcome]], key: str, outcome: Outcome) -> None:
    """Add an outcome to its series, and forget what is too old, or too much."""
    kept = series.pop(key, None) or []
    kept.append(outcome)
    if len(kept) > OUTCOMES_MAX:
        del kept[0]
    series[key] = kept
    if len(series) > SERIES_MAX:
        del series[next(iter(series))]


def changed_between(
    series: Iterable[Sequence[Outcome]], *, good: bool, since_ms: int, whole: bool
) -> tuple[int, int] | None:
    """Return (earliest_ms, latest_ms) of the change that these series show.

    Args:
        series: of the hosts that the verdicts rest on, each with its outcomes in order.
        good: what they turned to.
        since_ms: when the last round that contradicts the change began; of what is older
            only the last outcome of each series counts.
        whole: an outcome is good only if it was fine, not if anything answered.
    Returns:
        The moments that contradict fewest outcomes, or up to `CHANCE_MAX` silences more;
        if too few series agree on one, the hull of all; None if no series turned.
    """
    seen = [_marks(outcomes, since_ms, good=good, whole=whole) for outcomes in series]
    turned = [marks for marks in seen if _has_turned(marks)]
    if not turned:
        return None
    moments = sorted({mark.at_ms for marks in turned for mark in marks})
    against = {at_ms: [_against(marks, at_ms) for marks in turned] for at_ms in moments}
    costs = {at_ms: sum(each) for at_ms, each in against.items()}
    fewest = min(costs.values())
    contradicting = min(
        sum(map(bool, against[at_ms])) for at_ms in moments if costs[at_ms] == fewest
    )
    if contradicting > max(CHANCE_MAX, (1 - AGREE_SHARE_MIN) * len(turned)):
        return _hull(turned)
    possible = [at_ms for at_ms in moments if costs[at_ms] <= fewest + CHANCE_MAX]
    return possible[0], possible[-1]


class _Mark(NamedTuple):
    """An outcome as a bound: the change was not after `at_ms` if `new`, else not before it.

    `weight` is what it takes to contradict it.
    """

    at_ms: int
    new: bool
    came: bool
    weight: int


def _marks(outcomes: Sequence[Outcome], since_ms: int, *, good: bool, whole: bool) -> list[_Mark]:
    before = sum(one.mono_ms < since_ms for one in outcomes)
    marks = []
    for one in outcomes[max(0, before - 1) :]:
        came = one.fine if whole else one.answered
        new = came == good
        took_ms = one.took_ms if came else IN_FLIGHT_MS
        weight = SURE if came or one.sure else 1
        marks.append(_Mark(one.mono_ms + (took_ms if new else 0), new, came, weight))
    return marks


def _has_turned(marks: Sequence[_Mark]) -> bool:
    """Return whether a turn explains a series better than chance does, by two silences."""
    silent = sum(mark.weight for mark in marks if not mark.came)
    costs = [
        sum(mark.weight for at, mark in enumerate(marks) if mark.new == (at < split))
        for split in _turns_of(marks)
    ]
    return bool(costs) and min(costs) + 2 <= silent


def _turns_of(marks: Sequence[_Mark]) -> list[int]:
    """Return where a new outcome follows an old one."""
    return [at for at in range(1, len(marks)) if marks[at].new and not marks[at - 1].new]


def _against(marks: Sequence[_Mark], at_ms: int) -> int:
    """Return how much of a series contradicts a change at that moment.

    Bounded, so that one host with a fate of its own can't outvote the others.
    """
    weight = sum(
        mark.weight for mark in marks if (mark.at_ms < at_ms if mark.new else mark.at_ms > at_ms)
    )
    return min(weight, SURE)


def _hull(turned: Sequence[Sequence[_Mark]]) -> tuple[int, int]:
    """Return from the first turn of any of these series to the last one of any."""
    begins = [marks[_turns_of(marks)[0] - 1].at_ms for marks in turned]
    ends = [marks[_turns_of(marks)[-1]].at_ms for marks in turned]
    return min(begins), max([*begins, *ends])


def _fine(sample: Sample) -> bool:
    """Return whether nothing failed, of an alternation the sensitive name's fetches too."""
    detail = sample.detail
    if isinstance(detail, AlternationDetail) and set(detail.sensitive) != {Attempt.FINE.value}:
        return False
    return sample.failure is None
