"""The verdict rules, fed with real packets, say each scenario's truth within three rounds.

Scenarios that need no modem, no hours of normal goodput and no fault of the probe;
the others are for the simulation and the replay.
"""

import pytest

from linewatch_core.verdict.machine import Machine
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from tests.lab.conftest import Lab
from tests.lab.lab_time import lab_time
from tests.lab.player import steps, turn
from tests.lab.rounds import Rounds
from tests.lab.scenario_file import load_scenario

ROUNDS = 3
"""What a verdict takes to be raised, and to be cleared."""
NO_CLAIM = {
    TargetVerdict.OK,
    TargetVerdict.UNKNOWN,
    TargetVerdict.TARGET_DOWN,
    TargetVerdict.DNS_SUSPECT,
}
"""What may be said of a target without calling it blocked."""
SCENARIOS = (
    "allow-list",
    "dark",
    "dns-tampered-injected",
    "intl-cut",
    "ip-blocked",
    "line-dead",
    "local-link",
    "portal",
    "sni-blocked",
    "tls-intercepted",
    "control-cdn-rotation",
    "control-site-down-everywhere",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_verdicts_are_the_truth(lab: Lab, name: str) -> None:
    """Every line's verdict, and every told target's, is the truth while it lasts, and after."""
    scenario = load_scenario(name, lab.country.plan)
    deeper = any(truth.target for truth in scenario.truth) or name.startswith("control-")
    rounds, machine = Rounds(lab.country.plan, lab.probe, deeper=deeper), Machine()

    def measure() -> dict[str, LineVerdict]:
        for _ in range(ROUNDS):
            machine.handle(rounds.next())
        return machine.verdicts()

    lines = [line.id for line in lab.country.plan.line]
    fine = dict.fromkeys(lines, LineVerdict.OK)
    assert measure() == fine
    begins, ends = steps(scenario, lab_time(scenario, period_s=30, round_s=1))
    turn(lab.country, begins)
    told = {
        (truth.line, truth.target): truth.without_modem
        for truth in scenario.truth
        if truth.begins_s <= begins.scenario_s < truth.ends_s
    }
    assert measure() == {line: told[line, None] for line in lines}
    for line in lines:
        for target, verdict in machine.target_verdicts(line).items():
            expected = {told[line, target]} if (line, target) in told else NO_CLAIM
            assert verdict in expected, (line, target)
    turn(lab.country, ends)
    assert measure() == fine
