"""Truth beside verdicts: every change that a scenario tells, and what was said of it.

Pure; shared by the lab and the simulation. Moments are seconds since the scenario's
start. The error of a change is the farther of the two ends of what the transition
claims: a wide claim is a bad one, even where the truth lies in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from linewatch_core.verdict.states import LineVerdict
from tests.lab.scenario import Scenario, Truth

SEARCH_S = 1_500.0
"""How far from its moment a change is looked for: throttling alone takes 15 minutes to tell."""
SILENT_TARGETS = frozenset({"ok", "unknown"})


@dataclass(frozen=True, slots=True)
class Told:
    """A transition, placed in the scenario; `decided_s` None where that was not looked at."""

    line: str
    target: str | None
    before: str
    after: str
    rule: str
    earliest_s: float
    latest_s: float
    decided_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch for which the probe says that it was without power."""

    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One change; `error_s` None: nothing fitting was told; `told` is then empty.

    `late_s` is when it was decided after the truth.
    """

    line: str
    target: str | None
    at_s: float
    before: str
    after: str
    told: str = ""
    error_s: float | None = None
    late_s: float | None = None

    @property
    def restores(self) -> bool:
        """Whether something comes back: a row of its own, however short."""
        return self.after == "ok"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All changes, and what was told beyond them."""

    rows: tuple[Row, ...]
    unlisted: tuple[Told, ...]


def compare(
    scenario: Scenario, told: Sequence[Told], *, slack_s: float, holes: Sequence[Hole] = ()
) -> Comparison:
    """Match every change of the truth with one transition, in order.

    Args:
        slack_s: a passing `unknown` and changes within it of the truth are no errors.
        holes: what the probe says of its power; when `local.power` began stands there.
    """
    used: set[int] = set()
    rows = []
    for change in (*_of_lines(scenario), *_of_targets(scenario)):
        row = _matched(change, told, used)
        rows.append(_power(row, holes) if row.after == LineVerdict.POWER else row)
    rows.sort(key=lambda row: (row.line, row.target or "", row.at_s))
    unlisted = [
        one for one in told if id(one) not in used and not _true(scenario, one, slack_s=slack_s)
    ]
    return Comparison(tuple(rows), tuple(unlisted))


def _of_lines(scenario: Scenario) -> list[Row]:
    lines = sorted({truth.line for truth in scenario.truth})
    return [
        Row(line, None, after.begins_s, before.state, after.state)
        for line in lines
        for before, after in pairwise(scenario.truth_of(line))
        if before.state != after.state
    ]


def _of_targets(scenario: Scenario) -> list[Row]:
    """Return begins and ends of what is told of targets; where the line fails, they go unknown."""
    rows = []
    for truth in scenario.truth:
        if truth.target is None:
            continue
        rows.append(Row(truth.line, truth.target, truth.begins_s, "", truth.state))
        if truth.ends_s < scenario.length_s:
            line = _at(scenario.truth_of(truth.line), truth.ends_s)
            after = "ok" if line in ("ok", "throttled") else "unknown"
            rows.append(Row(truth.line, truth.target, truth.ends_s, truth.state, after))
    return rows


def _at(spans: Sequence[Truth], moment_s: float) -> str | None:
    return next((one.state for one in spans if one.begins_s <= moment_s < one.ends_s), None)


def _matched(row: Row, told: Sequence[Told], used: set[int]) -> Row:
    """Return the row with the transition to its state that is nearest to its moment."""
    found = [
        one
        for one in told
        if (one.line, one.target, one.after) == (row.line, row.target, row.after)
        and id(one) not in used
        and -SEARCH_S <= one.latest_s - row.at_s <= SEARCH_S
    ]
    if not found:
        return row
    best = min(found, key=lambda one: abs(one.latest_s - row.at_s))
    used.add(id(best))
    return Row(
        row.line,
        row.target,
        row.at_s,
        row.before or best.before,
        row.after,
        f"{best.before} > {best.after}",
        max(abs(end_s - row.at_s) for end_s in (best.earliest_s, best.latest_s)),
        None if best.decided_s is None else best.decided_s - row.at_s,
    )


def _power(row: Row, holes: Sequence[Hole]) -> Row:
    """Return the row with the error of the hole that the probe tells of, not of its first round."""
    errors_s = [abs(hole.begins_s - row.at_s) for hole in holes]
    if row.error_s is None or not errors_s:
        return row
    return Row(row.line, None, row.at_s, row.before, row.after, row.told, min(errors_s), row.late_s)


def _true(scenario: Scenario, one: Told, *, slack_s: float) -> bool:
    """Return whether a transition that no change asks for says nothing false.

    `unknown` claims nothing; saying again what is true after it is no error.
    """
    if one.after == "unknown" or (one.target is not None and one.after in SILENT_TARGETS):
        return True
    spans = scenario.truth_of(one.line, one.target)
    low_s, high_s = one.earliest_s - slack_s, one.latest_s + slack_s
    return any(
        span.state == one.after and span.begins_s <= high_s and low_s <= span.ends_s
        for span in spans
    )
