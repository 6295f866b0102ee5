"""From a change to a Transition: when it happened at the earliest and at the latest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from linewatch_core.records import Role, Transition
from linewatch_core.verdict.memory import LineMemory
from linewatch_core.verdict.settle import Change
from linewatch_core.verdict.states import REACH, LineVerdict, TargetVerdict
from linewatch_core.verdict.turns import Outcome, changed_between

_ANCHORS = frozenset({Role.DOMESTIC, Role.INTERNATIONAL, Role.RESOLVER})


_CARRIED = frozenset({LineVerdict.THROTTLED.value, TargetVerdict.THROTTLED.value})
"""Verdicts of checks that are not made in every round: a round that contradicts one may rest
on what was measured long before it."""


class Span(NamedTuple):
    """The moments between which something happened, in ms of the round's boot."""

    earliest_ms: int
    latest_ms: int


def change_of_line(
    change: Change,
    own: LineMemory,
    others: Iterable[LineMemory],
    roles: Mapping[str, Role],
) -> Span:
    """Return when a line's verdict changed, by what turned if that is telling.

    Anchors tell how much answers, goodput tells a throttle; and a line that was `dark` and is
    dead alone, or the reverse, did not change itself: another line did.
    """
    before, after = REACH.get(change.before), REACH.get(change.after)
    if before is None or after is None:
        return _between_rounds(change)
    if before != after:
        return _by_turns(change, _anchors(own, roles), good=after > before, whole=False)
    if LineVerdict.THROTTLED in (change.before, change.after):
        good = change.before == LineVerdict.THROTTLED
        since_ms = change.rests_ms
        return _by_turns(change, own.paces.values(), good=good, whole=True, since_ms=since_ms)
    if LineVerdict.DARK in (change.before, change.after):
        return _by_other_lines(change, [_anchors(one, roles) for one in others])
    return _between_rounds(change)


def change_of_target(change: Change, series: Mapping[str, Sequence[Outcome]], target: str) -> Span:
    """Return when a target's verdict changed, by that target's own checks."""
    if "unknown" in (change.before, change.after):
        return _between_rounds(change)
    mine = [outcomes for key, outcomes in series.items() if _target_of(key) == target]
    return _by_turns(change, mine, good=change.after == "ok", whole=True)


def transition(line: str, target: str | None, change: Change, span: Span, at_ms: int) -> Transition:
    """Return the record of a change that was decided at `at_ms`."""
    return Transition(
        mono_ms=at_ms,
        line=line,
        target=target,
        before=change.before,
        after=change.after,
        earliest_ms=span.earliest_ms,
        latest_ms=span.latest_ms,
        rule=change.rule,
        rule_version=change.rule_version,
        samples=change.samples,
    )


def _anchors(line: LineMemory, roles: Mapping[str, Role]) -> list[list[Outcome]]:
    return [one for key, one in line.series.items() if roles.get(_target_of(key)) in _ANCHORS]


def _target_of(key: str) -> str:
    return key.split("|", 1)[0]


def _by_other_lines(change: Change, lines: Iterable[Sequence[Sequence[Outcome]]]) -> Span:
    """Darkness ends with the first line that comes back, and begins with the last that goes."""
    ends = change.before == LineVerdict.DARK
    since_ms = _since_ms(change)
    found = (changed_between(one, good=ends, since_ms=since_ms, whole=False) for one in lines)
    spans = [Span(*one) for one in found if one is not None]
    return (min if ends else max)(spans, default=_between_rounds(change))


def _since_ms(change: Change) -> int:
    # Not from the last round that contradicts it: of that, one lost packet may be the cause.
    known_ms = (change.agreed_ms, change.before_ms, change.first_ms)
    return next(at_ms for at_ms in known_ms if at_ms is not None)


def _by_turns(
    change: Change,
    series: Iterable[Sequence[Outcome]],
    *,
    good: bool,
    whole: bool,
    since_ms: int | None = None,
) -> Span:
    since_ms = _since_ms(change) if since_ms is None else since_ms
    found = changed_between(series, good=good, since_ms=since_ms, whole=whole)
    return _between_rounds(change) if found is None else Span(*found)


def _between_rounds(change: Change) -> Span:
    """From the last round that contradicts it to the end of the first that said it."""
    before_ms = change.before_ms
    if _CARRIED & {change.before, change.after}:
        before_ms = change.rests_ms
    earliest_ms = change.first_ms if before_ms is None else before_ms
    return Span(earliest_ms, max(earliest_ms, change.until_ms))
