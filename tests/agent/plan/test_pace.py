"""The pace of the next round: as configured, and densely on suspicion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.calendar import Watch
from linewatch_agent.plan.pace import TIGHT_PERIOD_S, Pace, pace_of
from linewatch_agent.plan.settings import ScheduleConfig

USUAL = ScheduleConfig()


def schedules() -> st.SearchStrategy[ScheduleConfig]:
    """Return schedules that the configuration's rules let pass."""
    return st.builds(
        lambda period_s, jitter, timeout: ScheduleConfig(
            period_s=period_s,
            jitter_s=jitter * period_s / 2,
            timeout_s=min(60.0, max(0.1, timeout * period_s)),
        ),
        st.floats(1, 3600),
        st.floats(0, 0.99),
        st.floats(0, 0.99),
    )


@given(schedules())
def test_without_suspicion_it_is_as_configured(schedule: ScheduleConfig) -> None:
    """No setting that the configuration allows is changed behind its back."""
    wanted = Pace(schedule.period_s, schedule.jitter_s, schedule.timeout_s, whole=False)
    assert pace_of(Watch(schedule), tight=False) == wanted


def test_a_suspicion_makes_rounds_dense_and_whole() -> None:
    """Five seconds, all targets, and a timeout that ends within the round."""
    assert pace_of(Watch(USUAL), tight=True) == Pace(5.0, 0.5, 4.0, whole=True)


@pytest.mark.parametrize("period_s", [1.0, 5.0])
def test_a_schedule_that_is_dense_already_only_becomes_whole(period_s: float) -> None:
    """No suspicion makes rounds rarer, or moves their jitter and timeout."""
    schedule = ScheduleConfig(period_s=period_s, jitter_s=0.4, timeout_s=0.9)
    assert pace_of(Watch(schedule), tight=True) == Pace(period_s, 0.4, 0.9, whole=True)


@given(schedules())
def test_a_tight_round_is_never_longer_and_holds_its_checks(schedule: ScheduleConfig) -> None:
    """Whatever was configured: no longer than before, jitter and timeout inside the round."""
    tight = pace_of(Watch(schedule), tight=True)
    assert tight.period_s == min(schedule.period_s, TIGHT_PERIOD_S)
    assert tight.jitter_s <= min(schedule.jitter_s, tight.period_s / 2)
    assert tight.timeout_s <= max(0.1, min(schedule.timeout_s, tight.period_s))
    assert tight.whole
