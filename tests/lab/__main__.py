"""Play a scenario in the lab with the real agent and server, and show truth beside verdicts.

    python -m tests.lab kazakhstan-2022          # as root; exits 0 only if every bar holds
    python -m tests.lab --all --seeds 3          # every scenario, three times
    python -m tests.lab --list

Exit code 1: a bar is missed; 2: it cannot be played.
"""

import argparse
import random
import sys
from pathlib import Path

from rich.console import Console

from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.errors import LinewatchError
from tests.lab.agent_config import Pace
from tests.lab.all_scenarios import play_all
from tests.lab.outcome import Outcome
from tests.lab.outcome_json import to_json
from tests.lab.plan import load_country
from tests.lab.replay import play
from tests.lab.report import show
from tests.lab.scenario import Scenario
from tests.lab.scenario_file import SCENARIOS, load_scenario
from tests.lab.screen import Screen

PIPE_WIDTH = 120


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser().parse_args(arguments)
    pace = Pace(round_s=asked.round_s, period_s=asked.period_s)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        names = [path.stem for path in sorted(SCENARIOS.glob("*.toml"))]
        if asked.list:
            for scenario in (load_scenario(name, load_country()) for name in names):
                console.print(
                    f"{scenario.name:30} {' '.join(scenario.about.split())}", soft_wrap=True
                )
            return 0
        if asked.all:
            seeds = [_seed(asked.seed) + number for number in range(asked.seeds)]
            return play_all(names, seeds, pace, console, with_modems=not asked.no_modems)
        scenario = load_scenario(asked.scenario, load_country())
        outcome = _play(scenario, asked, pace, console)
    except (ConfigError, LinewatchError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    show(outcome, console)
    if asked.json is not None:
        asked.json.write_bytes(to_json(outcome))
    return 1 if outcome.missed_bars() else 0


def _play(scenario: Scenario, asked: argparse.Namespace, pace: Pace, console: Console) -> Outcome:
    seed = _seed(asked.seed)
    console.print(f"seed {seed}")
    with Screen(scenario, load_country(), console) as screen:
        return play(
            scenario, seed=seed, pace=pace, show=screen.show, with_modems=not asked.no_modems
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenario", nargs="?", default="kazakhstan-2022")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--all", action="store_true", help="play every scenario, one table")
    parser.add_argument("--seeds", type=int, default=1, help="with --all: how often each")
    parser.add_argument("--seed", type=int, help="of the relay's dice; default: a new one")
    parser.add_argument("--no-modems", action="store_true", help="mobile lines without modems")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome there")
    parser.add_argument("--period-s", type=float, default=30.0, help="a round stands for this long")
    parser.add_argument("--round-s", type=float, default=1.0, help="a round takes this long")
    return parser


def _seed(given: int | None) -> int:
    return random.randrange(2**32) if given is None else given


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
