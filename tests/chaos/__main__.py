"""Runs seeds from the command line: one told step by step, or many at once."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

from tests.chaos.mutants import MUTANTS
from tests.chaos.run import STEPS, ChaosError, Outcome, run

_BY_NAME = {mutant.__name__: mutant for mutant in MUTANTS}


def attempt(seed: int, *, steps: int, mutant: str | None = None) -> Outcome | str:
    """Return a run's outcome, or the text of its failure."""
    with _BY_NAME[mutant]() if mutant else nullcontext():
        try:
            return run(seed, steps=steps)
        except ChaosError as error:
            return str(error)


def main() -> int:
    """Return 0 if no seed broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone and tell all its steps")
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run (200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of a run ({STEPS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all CPUs)")
    parser.add_argument("--mutant", choices=sorted(_BY_NAME), help="break the product this way")
    options = parser.parse_args()
    if options.seed is not None:
        return _tell_one(options.seed, options.steps, options.mutant)
    return _run_many(options)


def _tell_one(seed: int, steps: int, mutant: str | None) -> int:
    outcome = attempt(seed, steps=steps, mutant=mutant)
    if isinstance(outcome, str):
        print(outcome)
        return 1
    print("\n".join(outcome.trace))
    print(f"seed {seed}: {outcome.promised} records promised, digest {outcome.digest}")
    return 0


def _run_many(options: argparse.Namespace) -> int:
    began_s = time.monotonic()
    events: Counter[str] = Counter()
    failed = done = promised = 0
    seeds = range(options.first, options.first + options.seeds)
    work = partial(attempt, steps=options.steps, mutant=options.mutant)
    with ProcessPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(work, seeds, chunksize=10):
            done += 1
            if isinstance(outcome, str):
                failed += 1
                print(outcome, flush=True)
            else:
                events.update(outcome.events)
                promised += outcome.promised
            if sys.stderr.isatty():
                print(f"\r{done} of {len(seeds)} seeds, {failed} failed", end="", file=sys.stderr)
    for name, count in events.most_common():
        print(f"{count:9} {name}")
    took_s = time.monotonic() - began_s
    print(f"{done} seeds, {failed} failed, {promised} records promised, {took_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
