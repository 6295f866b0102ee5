"""Samples as columns: tables of what repeats, and per-series groups of what is noise.

A series is one (line, target, check, family, address). Its place in the table
is its first appearance; the column of series, in seq order, is also what puts
the sorted columns back in order. Source: docs/wire-format.md, "Raw block".
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated, TypeAlias

import msgspec

from linewatch_core.details import Detail
from linewatch_core.errors import MalformedError
from linewatch_core.records import Check, Sample
from linewatch_core.segment.details import PackedDetail, pack_detail, unpack_detail
from linewatch_core.segment.numbers import NumberReader, NumberWriter
from linewatch_core.segment.tables import (
    Table,
    differences,
    from_recency_ranks,
    groups,
    lookup,
    recency_ranks,
    sorted_by_series,
)

_FIRST_BYTE = 3
"""The phase of an http check that is also its RTT: stored as the difference."""
TIMINGS_MAX = 32

_What: TypeAlias = tuple[str, Check, int, str | None]
_Outcome: TypeAlias = tuple[str | None, bool, bool, int]
"""The fields of Measured but its offset, and of Outcome."""


class Measured(msgspec.Struct, array_like=True, frozen=True):
    """What a series measures on any line; `offset_ms` is its slot's usual place in the round."""

    target: str
    check: Check
    family: int
    address: str | None
    offset_ms: int


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The part of a sample that has few different values."""

    failure: str | None
    busy: bool
    has_rtt: bool
    timings: Annotated[int, msgspec.Meta(ge=0, le=TIMINGS_MAX)]


class RawTable(msgspec.Struct, array_like=True):
    """The deflated part of a raw block; fields are appended, never reordered.

    Names in `_steps` are differences, `round_bends` are differences of differences
    of the rounds' starts in ms. `series_ranks` and `round_steps` run in seq order,
    `outcome_of` and `detail_of` in series order.
    """

    first_seq: int
    lines: list[str]
    measured: list[Measured]
    line_steps: list[int]
    measured_steps: list[int]
    round_bends: list[int]
    outcomes: list[Outcome]
    details: list[PackedDetail | None]
    series_ranks: list[int]
    round_steps: list[int]
    outcome_of: list[int]
    detail_of: list[int]


def pack_samples(first_seq: int, samples: Sequence[Sample]) -> tuple[RawTable, bytes]:
    """Return the table and the numbers of at least one sample."""
    lines, whats = Table[str](), Table[_What]()
    rounds, series = Table[int](), Table[tuple[int, int]]()
    series_of, round_of = [], []
    usual_ms: list[int] = []
    for sample in samples:
        what = whats.place((sample.target, sample.check, sample.family, sample.address))
        if what == len(usual_ms):
            usual_ms.append(sample.slot_ms - sample.round_ms)
        series_of.append(series.place((lines.place(sample.line), what)))
        round_of.append(rounds.place(sample.round_ms))
    order = sorted_by_series(series_of)
    ordered = [samples[at] for at in order]
    # Tables of plain values, made into what is written once each, not once a sample.
    outcomes, details = Table[_Outcome](), Table[Detail | None]()
    table = RawTable(
        first_seq=first_seq,
        lines=lines.values,
        measured=[
            Measured(*what, offset_ms)
            for what, offset_ms in zip(whats.values, usual_ms, strict=True)
        ],
        line_steps=differences(line for line, _ in series.values),
        measured_steps=differences(what for _, what in series.values),
        round_bends=differences(differences(rounds.values)),
        series_ranks=recency_ranks(series_of),
        round_steps=differences(round_of),
        outcome_of=[outcomes.place(_outcome(sample)) for sample in ordered],
        detail_of=[details.place(sample.detail) for sample in ordered],
        outcomes=[Outcome(*outcome) for outcome in outcomes.values],
        details=[pack_detail(detail) for detail in details.values],
    )
    numbers = NumberWriter()
    offset_of = [usual_ms[what] for _, what in series.values]
    numbers.put(
        [samples[at].slot_ms - samples[at].round_ms - offset_of[series_of[at]] for at in order]
    )
    numbers.put([sample.mono_ms - sample.slot_ms for sample in ordered])
    for group in groups([series_of[at] for at in order]):
        _put_times(numbers, [ordered[at] for at in group])
    return table, numbers.finish()


def unpack_samples(table: RawTable, tail: bytes) -> list[Sample]:
    """Return the samples in seq order; raise MalformedError if the columns disagree."""
    count = len(table.series_ranks)
    columns = (table.round_steps, table.outcome_of, table.detail_of)
    if any(len(column) != count for column in columns):
        raise MalformedError("cannot read block: its columns differ in length")
    if len(table.line_steps) != len(table.measured_steps):
        raise MalformedError("cannot read block: its series columns differ in length")
    series_of = from_recency_ranks(table.series_ranks)
    series_line = list(accumulate(table.line_steps))
    series_measured = list(accumulate(table.measured_steps))
    order = sorted_by_series(series_of)
    rounds = list(accumulate(accumulate(table.round_bends)))
    round_of = list(accumulate(table.round_steps))
    outcomes = [lookup(table.outcomes, place) for place in table.outcome_of]
    details = [unpack_detail(detail) for detail in table.details]
    numbers = NumberReader(tail)
    slot_residuals, mono_residuals = numbers.take(count), numbers.take(count)
    rtts: list[int | None] = []
    timings: list[tuple[int, ...]] = []
    for group in groups([series_of[at] for at in order]):
        for rtt_us, timings_us in _take_times(numbers, [outcomes[at] for at in group]):
            rtts.append(rtt_us)
            timings.append(timings_us)
    numbers.end()
    samples: dict[int, Sample] = {}
    for at, place in enumerate(order):
        series = series_of[place]
        what = lookup(table.measured, lookup(series_measured, series))
        round_ms = lookup(rounds, round_of[place])
        slot_ms = round_ms + what.offset_ms + slot_residuals[at]
        samples[place] = Sample(
            mono_ms=slot_ms + mono_residuals[at],
            slot_ms=slot_ms,
            round_ms=round_ms,
            line=lookup(table.lines, lookup(series_line, series)),
            target=what.target,
            check=what.check,
            family=what.family,
            failure=outcomes[at].failure,
            rtt_us=rtts[at],
            timings_us=timings[at],
            address=what.address,
            detail=lookup(details, table.detail_of[at]),
            busy=outcomes[at].busy,
        )
    return [samples[place] for place in range(count)]


def _outcome(sample: Sample) -> _Outcome:
    timings = len(sample.timings_us)
    if timings > TIMINGS_MAX:
        raise ValueError(f"cannot encode a sample of more than {TIMINGS_MAX} timings")
    return (sample.failure, sample.busy, sample.rtt_us is not None, timings)


def _put_times(numbers: NumberWriter, samples: Sequence[Sample]) -> None:
    numbers.put([s.rtt_us for s in samples if s.rtt_us is not None])
    for phase in range(max(len(s.timings_us) for s in samples)):
        numbers.put(
            [
                s.timings_us[phase] - _expected_us(phase, s.rtt_us)
                for s in samples
                if len(s.timings_us) > phase
            ]
        )


def _take_times(
    numbers: NumberReader, outcomes: Sequence[Outcome]
) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    found = iter(numbers.take(sum(o.has_rtt for o in outcomes)))
    rtts = [next(found) if o.has_rtt else None for o in outcomes]
    timings: list[list[int]] = [[] for _ in outcomes]
    for phase in range(max(o.timings for o in outcomes)):
        having = [at for at, o in enumerate(outcomes) if o.timings > phase]
        for at, value in zip(having, numbers.take(len(having)), strict=True):
            timings[at].append(value + _expected_us(phase, rtts[at]))
    return zip(rtts, map(tuple, timings), strict=True)


def _expected_us(phase: int, rtt_us: int | None) -> int:
    return rtt_us if phase == _FIRST_BYTE and rtt_us is not None else 0
