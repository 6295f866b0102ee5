"""Which schedule applies now: the usual one, or that of an event announced beforehand.

Pure. The time is an interval of UTC, as well as it is known; an event applies if it
may be going on, so that a probe whose clock is poor is rather too attentive than not.
Source: docs/configuration.md, "Events".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from linewatch_agent.plan.settings import EventConfig, ScheduleConfig
from linewatch_core.timebase import Interval

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Watch:
    """How to measure now.

    Attributes:
        schedule: the schedule that applies, with the shortest period of `events`.
        refuse_updates: whether software and configuration must stay as they are.
        events: names of the events that may be going on, in the configuration's order.
    """

    schedule: ScheduleConfig
    refuse_updates: bool = False
    events: tuple[str, ...] = ()


def watch_at(schedule: ScheduleConfig, events: Sequence[EventConfig], now: Interval) -> Watch:
    """Return how to measure at a moment within `now`.

    Args:
        schedule: the usual one.
        events: as the configuration lists them.
        now: when it is; an open side counts as for ever, so that an unknown time makes
            every event apply.
    """
    active = [event for event in events if _may_be_on(event, now)]
    periods = [event.period_s for event in active if event.period_s is not None]
    period_s = min([schedule.period_s, *periods])
    return Watch(
        msgspec.structs.replace(schedule, period_s=period_s),
        any(event.refuse_updates for event in active),
        tuple(event.name for event in active),
    )


def _may_be_on(event: EventConfig, now: Interval) -> bool:
    begun = now.hi_ms is None or now.hi_ms >= _unix_ms(event.begins)
    over = now.lo_ms is not None and now.lo_ms >= _unix_ms(event.ends)
    return begun and not over


def _unix_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS
