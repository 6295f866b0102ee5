"""Hundreds of seeds hold every promise; a seed replays exactly; a broken product is found."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.mutants import MUTANTS, Patch
from tests.chaos.run import ChaosError, run

SEEDS = 200
CHUNK = 20
SLOW_SEEDS = 10_000
MUTANT_SEEDS = 60


def run_all(seeds: Iterable[int]) -> int:
    """Run seeds; return how many records were promised in all."""
    return sum(run(seed).promised for seed in seeds)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    """Random faults on both ends and between: every record is stored once, or told as lost."""
    assert run_all(range(first, first + CHUNK)) > 100 * CHUNK


def test_every_fault_of_the_model_strikes() -> None:
    """What the model names does happen within a few dozen seeds, rot and restores included."""
    struck: set[str] = set()
    wanted = {"rot", "restore", "probe fuse", "server fuse", "probe sync fails", "probe disk full"}
    wanted |= {"server disk full", "probe disk read-only", "broker forgets", "server mute"}
    for seed in range(1_000_000, 1_000_060):
        struck |= set(run(seed).events)
        if struck >= wanted:
            break
    assert struck >= wanted
    assert len(FAULTS) >= 19


@pytest.mark.timeout(900)
def test_what_rot_costs_is_mended_by_itself() -> None:
    """Stores that rot took back are found by the server's word; what damage left is sent."""
    wanted = {"store went back", "old segment sent"}
    seen: set[str] = set()
    for seed in range(2_000_000, 2_000_300):
        seen |= {name for name, count in run(seed).events.items() if count}
        if seen >= wanted:
            break
    assert seen >= wanted


def test_a_seed_replays_bit_for_bit() -> None:
    """Two processes with different hash seeds: the same steps and the same archive."""
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos", "--seed", "6"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.splitlines()[-1])
    (line,) = digests
    assert "digest" in line


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_product_is_found(mutant: Callable[[], Patch]) -> None:
    """Each is found within 60 seeds, and the failure says by which command it comes again."""
    told = r"^seed (\d+) \(140 steps\): BrokenError.*\nthe same again: make sim SEED=\1\n"
    with mutant(), pytest.raises(ChaosError, match=told):
        run_all(range(MUTANT_SEEDS))


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_ten_thousand_seeds() -> None:
    """The slow tier, on all CPUs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seeds", str(SLOW_SEEDS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
