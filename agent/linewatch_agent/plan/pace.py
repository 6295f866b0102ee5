"""How fast to measure now: the usual schedule, an announced event's, or densely on suspicion.

Pure. Source: docs/verdicts.md, docs/configuration.md "Events".
"""

from dataclasses import dataclass

from linewatch_agent.plan.calendar import Watch

TIGHT_PERIOD_S = 5.0
"""So that an onset is dated to seconds; a suspicion asks for it for two minutes."""
TIMEOUT_SHARE = 0.8
"""A check of a tight round ends within this share of it."""
JITTER_SHARE = 0.1
"""A tight round is moved by at most this share of it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How to run the next round.

    Attributes:
        period_s, jitter_s, timeout_s: as in the schedule.
        whole: every target is due, whatever its `every` (a budget's strides still count).
    """

    period_s: float
    jitter_s: float
    timeout_s: float
    whole: bool = False


def pace_of(watch: Watch, *, tight: bool) -> Pace:
    """Return the pace for a schedule in force; `tight` if a change is suspected.

    Jitter and timeout are as configured, unless the round is shorter than they were meant for.
    """
    schedule = watch.schedule
    if not tight or schedule.period_s <= TIGHT_PERIOD_S:
        return Pace(schedule.period_s, schedule.jitter_s, schedule.timeout_s, whole=tight)
    return Pace(
        period_s=TIGHT_PERIOD_S,
        jitter_s=min(schedule.jitter_s, JITTER_SHARE * TIGHT_PERIOD_S),
        timeout_s=min(schedule.timeout_s, TIMEOUT_SHARE * TIGHT_PERIOD_S),
        whole=True,
    )
