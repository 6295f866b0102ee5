"""Play a scenario at full length in simulated time, and print truth beside verdicts.

    python -m tests.sim kazakhstan-2022
    python -m tests.sim kazakhstan-2022 --seed 7

Exit code 0 only if every bar holds, 1 if one is missed, 2 if it cannot be played.
"""

import argparse
import logging
import random
import sys
import tempfile
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import Progress

from linewatch_agent.plan.toml_errors import ConfigError
from tests.lab.plan import load_country
from tests.lab.scenario_file import load_scenario
from tests.sim.replay import CannotSimulateError, play
from tests.sim.report import show

MEMORY = Path("/dev/shm")
"""Where there is one, the stores go to memory: their syncs would take longer than all else."""


def main(arguments: list[str]) -> int:
    """Play what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenario", help="a file of tests/lab/scenarios, without .toml")
    parser.add_argument("--seed", type=int, help="replays a run; default: a new one, printed")
    asked = parser.parse_args(arguments)
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    console.print(f"seed {seed}")
    country = load_country()
    try:
        scenario = load_scenario(asked.scenario, country)
        with (
            tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
            Progress(console=console, transient=True) as progress,
        ):
            task = progress.add_task(scenario.name, total=scenario.length_s)
            outcome = play(
                scenario,
                country,
                Path(folder),
                seed=seed,
                progress=lambda done_s: progress.update(task, completed=done_s),
            )
    except (ConfigError, CannotSimulateError) as error:
        print(error, file=sys.stderr)
        return 2
    show(outcome, console)
    return 1 if outcome.missed_bars() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
