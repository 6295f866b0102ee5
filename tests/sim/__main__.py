"""Play scenarios at full length in simulated time, and print truth beside verdicts.

    python -m tests.sim kazakhstan-2022
    python -m tests.sim kazakhstan-2022 --seed 7
    python -m tests.sim kazakhstan-2022 --seeds 3
    python -m tests.sim --all --seeds 20

With --seeds N a scenario, or with --all every one but the long kazakhstan-2022, is played
with the seeds 1 to N, on two processes. Exit code 0 only if every bar holds, 1 if one is
missed, 2 if something cannot be played.
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
from tests.lab.scenario_file import SCENARIOS, load_scenario
from tests.sim.campaign import markdown_of, run_all, scratch, table_of
from tests.sim.replay import CannotSimulateError, play
from tests.sim.report import show

LONG = "kazakhstan-2022"


def main(arguments: list[str]) -> int:
    """Play what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenario", nargs="?", help="a file of tests/lab/scenarios, without .toml")
    parser.add_argument("--all", action="store_true", help=f"every scenario but {LONG}")
    parser.add_argument("--seed", type=int, help="replays a run; default: a new one, printed")
    parser.add_argument("--seeds", type=int, help="play the seeds 1 to N, and sum up")
    parser.add_argument("--markdown", action="store_true", help="the summary as a document has it")
    asked = parser.parse_args(arguments)
    if asked.all == (asked.scenario is not None):
        parser.error("expected a scenario or --all, and only one")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    try:
        if asked.all or asked.seeds:
            names = sorted(path.stem for path in SCENARIOS.glob("*.toml") if path.stem != LONG)
            seeds = range(1, asked.seeds + 1) if asked.seeds else [_seed(asked.seed)]
            return _many(names if asked.all else [asked.scenario], seeds, console, asked.markdown)
        return _one(asked.scenario, _seed(asked.seed), console)
    except (ConfigError, CannotSimulateError) as error:
        print(error, file=sys.stderr)
        return 2


def _seed(asked: int | None) -> int:
    return random.randrange(2**32) if asked is None else asked


def _one(name: str, seed: int, console: Console) -> int:
    """Play one scenario once and show all of it."""
    console.print(f"seed {seed}")
    country = load_country()
    scenario = load_scenario(name, country)
    with (
        tempfile.TemporaryDirectory(dir=scratch()) as folder,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task(name, total=scenario.length_s * scenario.probes)
        outcomes = play(
            scenario,
            country,
            Path(folder),
            seed=seed,
            progress=lambda done_s: progress.update(task, completed=done_s),
        )
    for outcome in outcomes:
        show(outcome, console)
    return 1 if any(outcome.missed_bars() for outcome in outcomes) else 0


def _many(names: list[str], seeds: range | list[int], console: Console, markdown: bool) -> int:
    """Play many runs and sum up; what missed a bar is told with its seed."""
    results = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("runs", total=len(names) * len(seeds))
        for result in run_all(names, seeds):
            results.append(result)
            progress.advance(task)
            if result.missed:
                console.print(f"{result.name}, seed {result.seed}: {'; '.join(result.missed)}")
    if markdown:
        print(markdown_of(results))
    else:
        console.print(table_of(results))
    return 1 if any(result.missed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
