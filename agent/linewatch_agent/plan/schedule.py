"""When each check is due: rounds, paced, the same instant on every line.

Pure. The shell draws the jitter and sleeps. A burst of all checks at once
spoils DNS and HTTP timings 20 to 50 times, so they are spread over the round. Where
many are due, a few whose times the kernel takes begin together: waking up costs more
than such a check (docs/measurements.md, docs/decisions/0024).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_agent.plan.ledger import Purpose, purpose_of
from linewatch_core.records import Check
from linewatch_core.targets import Target

ALL_DUE = 0
"""The round number that every `every` divides: for a round that shall leave nothing out."""

TOGETHER = frozenset({Check.ICMP, Check.TCP, Check.DNS})
"""Checks that may begin together: a packet or two each, timed by the kernel, so that what
else the agent does then is in none of their times."""
TOGETHER_MAX = 5
"""So few packets at once that a slow line sends the last of them some ms after the first."""
APART_MS = 400
"""Checks begin together only where they would begin more often than this."""

TIGHT_BIG_EVERY = 6
"""Of tight rounds, those in which big checks are due too: one that asks several times would
still run when the next round begins, and they date nothing."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One check of one target, due at `slot_ms` on every line.

    `turn` counts the rounds in which the target is due: a line that must save data
    takes every n-th turn (budget.py), and takes the same ones as any other line.
    `tight`: of a round that leaves no target out, since a change is suspected.
    """

    round_ms: int
    slot_ms: int
    target: Target
    check: Check
    turn: int = 0
    tight: bool = False


def plan_round(
    targets: Sequence[Target],
    *,
    round_ms: int,
    period_ms: int,
    spread: float,
    number: int = ALL_DUE,
    tight: bool = False,
) -> list[Slot]:
    """Return the slots of the round that begins at `round_ms`, in time order.

    Args:
        targets: what to measure; each that is due contributes one slot a check.
        round_ms: CLOCK_BOOTTIME ms.
        period_ms: the round's length.
        spread: the share of the round over which slots are laid, 0 (a burst) to 1.
        number: the round's number in the grid; a target is due where its `every`
            divides it, and with `ALL_DUE` always.
        tight: every target is due, and each round is one more turn of it; big checks
            (pages, handshakes, goodput) are due in some of these rounds only.
    """
    due = [target for target in targets if tight or number % target.every == 0]
    small_only = tight and number % TIGHT_BIG_EVERY != 0
    checks = [
        (target, check)
        for check in Check
        for target in due
        if check in target.checks and not (small_only and _is_big(check, target))
    ]
    width_ms = period_ms * spread
    starts = _starts([check for _, check in checks], width_ms)
    step_ms = width_ms / (starts[-1] + 1) if starts else 0.0
    return [
        Slot(
            round_ms,
            round_ms + int(step_ms * start),
            target,
            check,
            _turn(number, target, check, tight=tight),
            tight,
        )
        for start, (target, check) in zip(starts, checks, strict=True)
    ]


def _starts(checks: Sequence[Check], width_ms: float) -> list[int]:
    """Return for each check which of the evenly laid starts it has; a few may share one."""
    small = sum(check in TOGETHER for check in checks)
    room = max(1, int(width_ms / APART_MS) - (len(checks) - small))
    together = min(TOGETHER_MAX, max(1, math.ceil(small / room)))
    starts: list[int] = []
    start, sharing = -1, 0
    for check in checks:
        if check not in TOGETHER or sharing in (0, together):
            start, sharing = start + 1, 0
        sharing = sharing + 1 if check in TOGETHER else 0
        starts.append(start)
    return starts


def _turn(number: int, target: Target, check: Check, *, tight: bool) -> int:
    if not tight:
        return number // target.every
    return number // TIGHT_BIG_EVERY if _is_big(check, target) else number


def _is_big(check: Check, target: Target) -> bool:
    return purpose_of(check, target.role) in (Purpose.HTTP, Purpose.GOODPUT)


@dataclass(frozen=True, slots=True)
class NextRound:
    """A round's number in the grid and its start; `missed` rounds before it never ran."""

    number: int
    round_ms: int
    missed: int


def next_round(*, after: int | None, now_ms: int, period_ms: int, jitter_ms: int) -> NextRound:
    """Return the round that follows number `after` (None: none ran yet).

    Rounds sit on a grid of boot time, so that a restarted agent keeps its
    rhythm; `jitter_ms` moves each one a little, so that nothing on the network
    can line up with it. A round whose time is past by more than a period is missed.
    """
    current = now_ms // period_ms
    # A number far ahead is of another grid (the period grew): waiting for it would not measure.
    if after is None or after > current + 1:
        number = current + 1
        return NextRound(number, number * period_ms + jitter_ms, 0)
    number = max(after + 1, current)
    return NextRound(number, number * period_ms + jitter_ms, number - after - 1)
