"""Moments of a run: what was cut out has no length, and starting a program takes none."""

import pytest

from tests.lab.lab_time import LabTime, Stretch, lab_time
from tests.lab.plan import load_country
from tests.lab.scenario_file import load_scenario
from tests.lab.timeline import Timeline

SPEED = 30.0
PLAN = LabTime(SPEED, (Stretch(0, 300, 0), Stretch(3600, 600, 10), Stretch(7200, 300, 30)))
"""300 s, then 600 s from 1:00:00 on, then 300 s from 2:00:00 on."""


def test_without_pauses_the_plan_is_what_runs() -> None:
    """Played seconds are the lab's seconds times its speed."""
    timeline = Timeline(PLAN)
    assert timeline.length_s == 40
    assert (timeline.lab_s(12), timeline.run_s(12)) == (12, 12)
    assert timeline.played_s(3600) == 300
    assert timeline.scenario_now_s(11) == 3630


def test_a_pause_lets_the_plan_wait() -> None:
    """What comes after it is later by its length, what came before is not."""
    timeline = Timeline(PLAN)
    timeline.pause(10.0, 2.0)
    assert timeline.length_s == 42
    assert (timeline.run_s(9), timeline.run_s(30)) == (9, 32)
    assert (timeline.lab_s(9), timeline.lab_s(11), timeline.lab_s(32)) == (9, 10, 30)
    timeline.pause(32.0, 1.0)
    assert timeline.length_s == 43
    assert (timeline.lab_s(32.5), timeline.lab_s(34)) == (30, 31)


def test_a_change_is_when_it_was_made() -> None:
    """Not when it should have been; and it maps back to its own moment."""
    timeline = Timeline(PLAN)
    timeline.happened(3600, 10.5)
    assert timeline.played_s(3600) == 315
    assert timeline.scenario_s(315) == 3600
    assert timeline.scenario_s(345) == 3630


def test_a_played_scenario_has_the_same_states_on_the_other_axis() -> None:
    """Each change stands where it was made; without modems states are what can be known then."""
    scenario = load_scenario("data-cut", load_country())
    timeline = Timeline(lab_time(scenario, period_s=30, round_s=1))
    began = next(truth for truth in scenario.truth if truth.state == "data_cut")
    timeline.happened(began.begins_s, 20.5)
    told = timeline.played(scenario, modems=True).truth_of(began.line)
    assert [truth.state for truth in told][:2] == ["ok", "data_cut"]
    assert told[1].begins_s == told[0].ends_s == 20.5 * SPEED
    plain = timeline.played(scenario, modems=False).truth_of(began.line)
    assert [truth.state for truth in plain][:2] == ["ok", "unknown"]
    assert plain[-1].ends_s == pytest.approx(timeline.length_s * SPEED)
