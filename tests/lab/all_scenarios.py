"""Plays every scenario with several seeds, and shows one line for each: right or not, how well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from linewatch_core.errors import LinewatchError
from tests.lab.agent_config import Pace
from tests.lab.outcome import Outcome
from tests.lab.plan import load_country
from tests.lab.replay import play
from tests.lab.report import number, show
from tests.lab.scenario import Scenario
from tests.lab.scenario_file import load_scenario
from tests.lab.stage import CannotPlayError


@dataclass(slots=True)
class Results:
    """What the runs of one scenario came to; `refused` says why there are none."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refused: str = ""

    @property
    def right(self) -> int:
        """How many runs held every bar."""
        return sum(not outcome.missed_bars() for outcome in self.outcomes)

    @property
    def runs(self) -> int:
        """How many runs there were, those that broke off too."""
        return len(self.outcomes) + len(self.failures)

    def worst_s(self, *, restoring: bool) -> float | None:
        """Return the largest error of all runs."""
        errors_s = (outcome.worst_s(restoring=restoring) for outcome in self.outcomes)
        return max((error_s for error_s in errors_s if error_s is not None), default=None)

    @property
    def rounds_to_tell_max(self) -> int | None:
        """Return in which round the slowest verdict of all runs was told."""
        found = (outcome.rounds_to_tell_max for outcome in self.outcomes)
        return max((rounds for rounds in found if rounds is not None), default=None)


def play_all(
    names: Sequence[str],
    seeds: Sequence[int],
    pace: Pace,
    console: Console,
    *,
    with_modems: bool = True,
) -> int:
    """Play all and print the table; return 0 if all that can be played held every bar, else 1."""

    def one(scenario: Scenario, seed: int) -> Outcome:
        return play(scenario, seed=seed, pace=pace, show=lambda _: None, with_modems=with_modems)

    every = [_play(name, seeds, one, console) for name in names]
    console.print(_table(every, seeds))
    return 0 if all(one.right == one.runs for one in every) else 1


def _play(
    name: str, seeds: Sequence[int], one: Callable[[Scenario, int], Outcome], console: Console
) -> Results:
    results = Results(name)
    scenario = load_scenario(name, load_country())
    for seed in seeds:
        try:
            outcome = one(scenario, seed)
        except CannotPlayError as error:
            results.refused = str(error)
            console.print(results.refused, soft_wrap=True)
            break
        except LinewatchError as error:
            results.failures.append(str(error))
            console.print(f"{name}, seed {seed}: {error}", soft_wrap=True)
            continue
        results.outcomes.append(outcome)
        missed = "; ".join(outcome.missed_bars())
        console.print(f"{name}, seed {seed}: {missed or 'every bar holds'}", soft_wrap=True)
        if missed:
            show(outcome, console)
    return results


def _table(every: Sequence[Results], seeds: Sequence[int]) -> Table:
    table = Table(
        *(
            "scenario",
            "right",
            "worst onset s",
            "worst restoration s",
            "told in round",
            "records",
            "lost",
        ),
        title=f"seeds {seeds[0]} to {seeds[-1]}",
    )
    for one in every:
        if one.refused:
            table.add_row(one.name, "not played", *("-" * 5))
            continue
        table.add_row(
            one.name,
            f"{one.right} of {one.runs}",
            number(one.worst_s(restoring=False)),
            number(one.worst_s(restoring=True)),
            "-" if one.rounds_to_tell_max is None else str(one.rounds_to_tell_max),
            f"{sum(outcome.tally.committed for outcome in one.outcomes):,}",
            f"{sum(outcome.tally.lost for outcome in one.outcomes):,}",
            style=None if one.right == one.runs else "red",
        )
    return table
