"""From a change to a Transition: when it happened at the earliest and at the latest."""

from collections.abc import Mapping
from typing import NamedTuple

from linewatch_core.records import Role, Transition
from linewatch_core.verdict.settle import Change
from linewatch_core.verdict.states import REACH
from linewatch_core.verdict.turns import Turn, changed_between

_ANCHORS = frozenset({Role.DOMESTIC, Role.INTERNATIONAL, Role.RESOLVER})


class Span(NamedTuple):
    """The moments between which something happened, in ms of the round's boot."""

    earliest_ms: int
    latest_ms: int


def change_of_line(change: Change, turns: Mapping[str, Turn], roles: Mapping[str, Role]) -> Span:
    """Return when a line's verdict changed, by the anchors that turned if that is telling."""
    before, after = REACH.get(change.before), REACH.get(change.after)
    if before is None or after is None or before == after:
        return _between_rounds(change)
    anchors = [turn for key, turn in turns.items() if roles.get(key.split("|", 1)[0]) in _ANCHORS]
    return _by_turns(change, anchors, good=after > before)


def change_of_target(change: Change, turns: Mapping[str, Turn], target: str) -> Span:
    """Return when a target's verdict changed, by that target's own checks."""
    if "unknown" in (change.before, change.after):
        return _between_rounds(change)
    mine = [turn for key, turn in turns.items() if key.split("|", 1)[0] == target]
    return _by_turns(change, mine, good=change.after == "ok")


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


def _by_turns(change: Change, turns: list[Turn], *, good: bool) -> Span:
    since_ms = change.first_ms if change.before_ms is None else change.before_ms
    found = changed_between(turns, good=good, since_ms=since_ms, until_ms=change.until_ms)
    return _between_rounds(change) if found is None else Span(*found)


def _between_rounds(change: Change) -> Span:
    """From the last round that said otherwise to the end of the first that said it."""
    earliest_ms = change.first_ms if change.before_ms is None else change.before_ms
    return Span(earliest_ms, max(earliest_ms, change.until_ms))
