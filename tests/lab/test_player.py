"""A scenario's knobs turn when they should, and turn back."""

import subprocess
import sys

import pytest

from tests.lab.conftest import Lab
from tests.lab.knobs import Knob
from tests.lab.lab_time import lab_time
from tests.lab.panel import HEALTHY, failures
from tests.lab.plan import load_country
from tests.lab.player import steps, turn
from tests.lab.scenario import Scenario
from tests.lab.scenario_file import load_scenario, parse_scenario
from tests.lab.worker import ROOT

COUNTRY = load_country()
TWO_NAMES = """
name = "two"
about = "two knobs of one kind, one after the other"
begins = 2026-03-01T00:00:00Z
ends = 2026-03-01T01:00:00Z

[[event]]
begins = 2026-03-01T00:10:00Z
ends = 2026-03-01T00:20:00Z
knob = "sni_reset"
operator = "beta"
options = { names = ["news-one.example"] }

[[event]]
begins = 2026-03-01T00:20:00Z
knob = "sni_reset"
operator = "beta"
options = { names = ["neutral.example"] }
"""


def _two() -> Scenario:
    return parse_scenario(TWO_NAMES, COUNTRY, name="two.toml")


def test_steps_are_in_order_and_ends_come_first() -> None:
    """At one moment the knob that ends is turned back before the next one begins."""
    scenario = _two()
    time = lab_time(scenario, period_s=30, round_s=1)
    told = [(step.scenario_s, step.event.label, step.begins) for step in steps(scenario, time)]
    assert told == [
        (600, "event-0", True),
        (1200, "event-0", False),
        (1200, "event-1", True),
    ]


def test_two_events_of_one_knob_stand_apart(lab: Lab) -> None:
    """Each event's knob does its own, and taking one back leaves the other."""
    scenario = _two()
    made = steps(scenario, lab_time(scenario, period_s=30, round_s=1))
    first, _, second = made
    turn(lab.country, first)
    turn(lab.country, second)
    reset = failures(lab.see()["mobile-1"])
    turn(lab.country, made[1])
    after = failures(lab.see()["mobile-1"])
    assert reset["sni-blocked"] == reset["sni-neutral"] == "connection_reset"
    assert after == HEALTHY | {"sni-neutral": "connection_reset"}


def test_a_fault_is_not_the_countrys(lab: Lab) -> None:
    """A power cut is refused: whoever runs the agent makes it."""
    scenario = load_scenario("local-power", COUNTRY)
    step = steps(scenario, lab_time(scenario, period_s=30, round_s=1))[0]
    with pytest.raises(ValueError, match="cannot turn power_cut"):
        turn(lab.country, step)


def test_the_whole_of_kazakhstan_leaves_the_lab_healthy(lab: Lab) -> None:
    """All knobs of the five days, turned one after the other, leave none of them set."""
    scenario = load_scenario("kazakhstan-2022", COUNTRY)
    for step in steps(scenario, lab_time(scenario, period_s=30, round_s=1)):
        assert isinstance(step.event.what, Knob)
        turn(lab.country, step)
    assert all(failures(outcomes) == HEALTHY for outcomes in lab.see().values())


def test_the_command_line_lists_scenarios_and_refuses_others() -> None:
    """`--list` names each with what it is about; a misspelt one ends with a reason."""
    command = [sys.executable, "-m", "tests.lab"]
    listed = subprocess.run(
        [*command, "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    refused = subprocess.run(
        [*command, "nowhere"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "kazakhstan-2022" in listed.stdout
    assert refused.returncode == 2
    assert "there is no such scenario" in refused.stderr
