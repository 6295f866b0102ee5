"""The Makefile's targets send on what they are given."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ((), "tests.sim kazakhstan-2022"),
        (("SCENARIO=dark",), "tests.sim dark"),
        (("SCENARIO=dark", "SEED=7"), "tests.sim dark --seed 7"),
        (("SEED=7",), "tests.chaos --seed 7"),
        (("SEED=7", "ARGS=--steps 9"), "tests.chaos --seed 7 --steps 9"),
    ],
)
def test_sim_plays_a_scenario_or_a_seed(given: tuple[str, ...], runs: str) -> None:
    """A seed alone is the fault simulator's; with a scenario it is the scenario's."""
    command = ["make", "--dry-run", "--no-print-directory", "sim", *given]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].split() == [".venv/bin/python", "-m", *runs.split()]
