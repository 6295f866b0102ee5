"""Many runs at once: scenarios times seeds on a few processes, and the table of what came out.

Each run has its own folder and dice; nothing is shared, so the order does not matter.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.table import Table

from tests.lab.plan import load_country
from tests.lab.scenario_file import load_scenario
from tests.sim.replay import play

PROCESSES = 2
MEMORY = Path("/dev/shm")
"""Where there is one, the stores go to memory: their syncs would take longer than all else."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a scenario, all its probes together.

    Attributes:
        verdicts: what the truth says of lines and targets, but `ok`.
        onset_s, restoration_s: the largest errors; None: there was no such change.
        rounds: the most rounds that a change took to be told.
        false: transitions told that are not true.
        missed: bars that do not hold, in words.
    """

    name: str
    seed: int
    verdicts: tuple[str, ...]
    onset_s: float | None
    restoration_s: float | None
    rounds: int
    false: int
    missed: tuple[str, ...]


def scratch() -> Path | None:
    """Return where stores may lie in memory, if that is possible here."""
    return MEMORY if MEMORY.is_dir() else None


def run(name: str, seed: int) -> Result:
    """Play a scenario once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    country = load_country()
    scenario = load_scenario(name, country)
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        outcomes = play(scenario, country, Path(folder), seed=seed)
    rows = [(one, row) for one in outcomes for row in one.comparison.rows]
    onsets = [row.error_s for _, row in rows if not row.restores and row.error_s is not None]
    back = [row.error_s for _, row in rows if row.restores and row.error_s is not None]
    return Result(
        name=name,
        seed=seed,
        verdicts=tuple(sorted({truth.state for truth in scenario.truth} - {"ok"})) or ("ok",),
        onset_s=max(onsets, default=None),
        restoration_s=max(back, default=None),
        rounds=max((one.rounds_to_tell(row) for one, row in rows), default=0),
        false=sum(len(one.comparison.unlisted) for one in outcomes),
        missed=tuple(bar for one in outcomes for bar in one.missed_bars()),
    )


def run_all(names: Sequence[str], seeds: Sequence[int]) -> Iterator[Result]:
    """Yield the result of every scenario with every seed, as they come."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        runs = [pool.submit(run, name, seed) for seed in seeds for name in names]
        for done in as_completed(runs):
            yield done.result()


def table_of(results: Sequence[Result]) -> Table:
    """Return a row for every scenario: what was told, and how badly at worst."""
    table = Table(
        *("scenario", "verdicts", "runs", "right", "worst onset error s"),
        *("worst restoration error s", "decided after rounds", "false claims"),
        title="every scenario",
    )
    for name in sorted({one.name for one in results}):
        mine = [one for one in results if one.name == name]
        right = sum(not one.missed for one in mine)
        table.add_row(
            name,
            ", ".join(mine[0].verdicts),
            str(len(mine)),
            str(right),
            _worst([one.onset_s for one in mine]),
            _worst([one.restoration_s for one in mine]),
            str(max(one.rounds for one in mine) or "-"),
            str(sum(one.false for one in mine)),
            style=None if right == len(mine) else "red",
        )
    return table


def markdown_of(results: Sequence[Result]) -> str:
    """Return the same table for a document."""
    table = table_of(results)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    lines = [[str(column.header) for column in table.columns], ["---"] * len(cells)]
    lines += [list(row) for row in zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _worst(errors_s: Sequence[float | None]) -> str:
    known = [error_s for error_s in errors_s if error_s is not None]
    return f"{max(known):.1f}" if known else "-"
