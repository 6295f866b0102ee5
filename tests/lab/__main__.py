"""Play a scenario in the lab, and show truth beside what each line's hosts answer.

    python -m tests.lab kazakhstan-2022
    python -m tests.lab --list

Needs root. Prints a line whenever the truth or what is seen changes. Verdicts
are not judged here; faults of a scenario are told, not made.
"""

import argparse
import sys
import time
from datetime import timedelta
from typing import Any

import msgspec

from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target
from tests.lab.country import Country
from tests.lab.knobs import Knob
from tests.lab.lab_time import lab_time
from tests.lab.plan import CountryPlan, load_country
from tests.lab.player import steps, turn
from tests.lab.scenario import Scenario
from tests.lab.scenario_file import SCENARIOS, load_scenario
from tests.lab.targets import lab_targets
from tests.lab.worker import Worker

TIMEOUT_S = 0.8
"""Below the length of a round, above the slowest line's round trip."""
_SETS = (Role.DOMESTIC, Role.INTERNATIONAL)


def main(arguments: list[str]) -> int:
    """Play what the command line says; return 0, or 2 for what can't be played."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("scenario", nargs="?", default="kazakhstan-2022")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--seed", type=int, help="of the relay's dice")
    parser.add_argument("--period-s", type=float, default=30.0, help="a round stands for this long")
    parser.add_argument("--round-s", type=float, default=1.0, help="a round takes this long")
    asked = parser.parse_args(arguments)
    try:
        if asked.list:
            for path in sorted(SCENARIOS.glob("*.toml")):
                scenario = load_scenario(path.stem, load_country())
                print(f"{scenario.name:30} {' '.join(scenario.about.split())}")
            return 0
        scenario = load_scenario(asked.scenario, load_country())
        with Country(seed=asked.seed) as country:
            print(f"seed {country.seed}; leftovers removed: {len(country.swept)}", flush=True)
            _play(country, scenario, period_s=asked.period_s, round_s=asked.round_s)
    except (ConfigError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _play(country: Country, scenario: Scenario, *, period_s: float, round_s: float) -> None:
    mapping = lab_time(scenario, period_s=period_s, round_s=round_s)
    print(f"{scenario.name}: {mapping.length_s / 60:.1f} minutes", flush=True)
    probe = country.worker("tests.lab.probe", place="probe")
    probe.await_ready()
    coming = list(steps(scenario, mapping))
    began_s, shown = time.monotonic(), ""
    while (now_s := time.monotonic() - began_s) < mapping.length_s:
        while coming and coming[0].lab_s <= now_s:
            step = coming.pop(0)
            if isinstance(step.event.what, Knob):
                turn(country, step)
            print(f"{'begins' if step.begins else 'ends':>10} {step.event.what}", flush=True)
        moment_s = mapping.to_scenario(now_s)
        row = _row(country.plan, scenario, moment_s, probe)
        if row != shown:
            print(f"{scenario.begins + timedelta(seconds=moment_s):%d %b %H:%M}  {row}", flush=True)
            shown = row
        due_s = began_s + (now_s // round_s + 1) * round_s
        time.sleep(max(0.0, due_s - time.monotonic()))


def _row(plan: CountryPlan, scenario: Scenario, moment_s: float, probe: Worker) -> str:
    """Return per line its truth and how many hosts at home and abroad answer TCP."""
    anchors = [target for target in lab_targets(plan) if _is_anchor(target)]
    asked: list[list[Any]] = [
        [line.id, msgspec.to_builtins(anchor), Check.TCP, TIMEOUT_S]
        for line in plan.line
        for anchor in anchors
    ]
    answers = iter(probe.ask(asked))
    cells = []
    for line in plan.line:
        up = dict.fromkeys(_SETS, 0)
        for anchor in anchors:
            up[anchor.role] += next(answers)["failure"] is None
        truth = next(t.state for t in scenario.truth_of(line.id) if moment_s < t.ends_s)
        cells.append(f"{line.id} {truth:10} {up[Role.DOMESTIC]}+{up[Role.INTERNATIONAL]} up")
    return "   ".join(cells)


def _is_anchor(target: Target) -> bool:
    return target.role in _SETS and Check.TCP in target.checks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
