"""Roll-ups as columns: tables of what repeats, and groups of numbers.

A series is one (line, target, check). Rolls cross first after an outage, by
the thousand, so they are worth columns too. Source: docs/wire-format.md,
"Roll block".
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

import msgspec

from linewatch_core.errors import MalformedError
from linewatch_core.records import ROLL_WINDOW_MS, Check, Roll
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

_Shape: TypeAlias = tuple[tuple[tuple[str, int], ...], bool, bool, bool]
"""The fields of Shape."""


class Counted(msgspec.Struct, array_like=True, frozen=True):
    """What a series counts on any line."""

    target: str
    check: Check


class Shape(msgspec.Struct, array_like=True, frozen=True):
    """The part of a roll that has few different values.

    `failures` are (name, how often), by name; the three flags tell which times there are.
    """

    failures: tuple[tuple[str, int], ...]
    has_min: bool
    has_median: bool
    has_p95: bool


class RollTable(msgspec.Struct, array_like=True):
    """The deflated part of a roll block; fields are appended, never reordered.

    Names in `_steps` are differences; `series_ranks`, `window_steps` and
    `lateness_steps` run in seq order, `shape_of` in series order. Lateness is how
    long after its window's end a roll was closed.
    """

    first_seq: int
    lines: list[str]
    counted: list[Counted]
    line_steps: list[int]
    counted_steps: list[int]
    shapes: list[Shape]
    series_ranks: list[int]
    window_steps: list[int]
    lateness_steps: list[int]
    shape_of: list[int]


def pack_rolls(first_seq: int, rolls: Sequence[Roll]) -> tuple[RollTable, bytes]:
    """Return the table and the numbers of at least one roll."""
    lines, counted = Table[str](), Table[tuple[str, Check]]()
    series, shapes = Table[tuple[int, int]](), Table[_Shape]()
    series_of = [
        series.place((lines.place(r.line), counted.place((r.target, r.check)))) for r in rolls
    ]
    order = sorted_by_series(series_of)
    table = RollTable(
        first_seq=first_seq,
        lines=lines.values,
        counted=[Counted(*what) for what in counted.values],
        line_steps=differences(line for line, _ in series.values),
        counted_steps=differences(what for _, what in series.values),
        series_ranks=recency_ranks(series_of),
        window_steps=differences(roll.window for roll in rolls),
        lateness_steps=differences(r.mono_ms - _window_end_ms(r.window) for r in rolls),
        shape_of=[shapes.place(_shape(rolls[at])) for at in order],
        shapes=[Shape(*shape) for shape in shapes.values],
    )
    numbers = NumberWriter()
    ordered = [rolls[at] for at in order]
    numbers.put([roll.sent for roll in ordered])
    numbers.put([_unexplained(r.sent, r.answered, r.failures.values()) for r in ordered])
    for group in groups([series_of[at] for at in order]):
        _put_times(numbers, [ordered[at] for at in group])
    return table, numbers.finish()


def unpack_rolls(table: RollTable, tail: bytes) -> list[Roll]:
    """Return the rolls in seq order; raise MalformedError if the columns disagree."""
    count = len(table.series_ranks)
    columns = (table.window_steps, table.lateness_steps, table.shape_of)
    if any(len(column) != count for column in columns):
        raise MalformedError("cannot read block: its columns differ in length")
    if len(table.line_steps) != len(table.counted_steps):
        raise MalformedError("cannot read block: its series columns differ in length")
    series_of = from_recency_ranks(table.series_ranks)
    series_line = list(accumulate(table.line_steps))
    series_counted = list(accumulate(table.counted_steps))
    order = sorted_by_series(series_of)
    windows = list(accumulate(table.window_steps))
    lateness = list(accumulate(table.lateness_steps))
    shapes = [lookup(table.shapes, place) for place in table.shape_of]
    numbers = NumberReader(tail)
    sent, unexplained = numbers.take(count), numbers.take(count)
    times: list[tuple[int | None, int | None, int | None]] = []
    for group in groups([series_of[at] for at in order]):
        times += _take_times(numbers, [shapes[at] for at in group])
    numbers.end()
    rolls: dict[int, Roll] = {}
    for at, place in enumerate(order):
        series = series_of[place]
        what = lookup(table.counted, lookup(series_counted, series))
        failures = dict(shapes[at].failures)
        rolls[place] = Roll(
            mono_ms=_window_end_ms(windows[place]) + lateness[place],
            window=windows[place],
            line=lookup(table.lines, lookup(series_line, series)),
            target=what.target,
            check=what.check,
            sent=sent[at],
            answered=_unexplained(sent[at], unexplained[at], failures.values()),
            failures=failures,
            rtt_min_us=times[at][0],
            rtt_median_us=times[at][1],
            rtt_p95_us=times[at][2],
        )
    return [rolls[place] for place in range(count)]


def _window_end_ms(window: int) -> int:
    return (window + 1) * ROLL_WINDOW_MS


def _unexplained(sent: int, other: int, failures: Iterable[int]) -> int:
    """Return what `answered` leaves unexplained, nearly always 0; of that, answered again."""
    return sent - sum(failures) - other


def _shape(roll: Roll) -> _Shape:
    return (
        tuple(sorted(roll.failures.items())),
        roll.rtt_min_us is not None,
        roll.rtt_median_us is not None,
        roll.rtt_p95_us is not None,
    )


def _put_times(numbers: NumberWriter, rolls: Sequence[Roll]) -> None:
    least = [r.rtt_min_us or 0 for r in rolls]
    numbers.put([r.rtt_min_us for r in rolls if r.rtt_min_us is not None])
    median = [r.rtt_median_us for r in rolls]
    numbers.put([m - base for m, base in zip(median, least, strict=True) if m is not None])
    high = [(r.rtt_p95_us, r.rtt_median_us or 0) for r in rolls]
    numbers.put([p95 - base for p95, base in high if p95 is not None])


def _take_times(
    numbers: NumberReader, shapes: Sequence[Shape]
) -> list[tuple[int | None, int | None, int | None]]:
    least = _take_present(numbers, [s.has_min for s in shapes], [0] * len(shapes))
    median = _take_present(numbers, [s.has_median for s in shapes], [v or 0 for v in least])
    high = _take_present(numbers, [s.has_p95 for s in shapes], [v or 0 for v in median])
    return list(zip(least, median, high, strict=True))


def _take_present(
    numbers: NumberReader, present: Sequence[bool], bases: Sequence[int]
) -> list[int | None]:
    found = iter(numbers.take(sum(present)))
    return [base + next(found) if here else None for here, base in zip(present, bases, strict=True)]
