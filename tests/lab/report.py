"""A run's outcome as tables for the terminal; what lab and simulation show alike is here."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from tests.lab.outcome import Outcome
from tests.lab.scenario import Scenario
from tests.lab.truth import Row


def show(outcome: Outcome, console: Console) -> None:
    """Print truth beside the server's word, the records, the restorations and the bars."""
    timeline, scenario = outcome.timeline, outcome.scenario

    def at(played_s: float) -> str:
        return when(scenario, timeline.scenario_s(played_s))

    console.print(changes_table(scenario.name, outcome.comparison.rows, at, outcome.is_bad))
    for one in outcome.comparison.unlisted:
        name = one.line if one.target is None else f"{one.line}/{one.target}"
        console.print(
            f"not true: {at(one.latest_s)} {name}: {one.before} > {one.after} ({one.rule})"
        )
    if outcome.restorations:
        console.print(_restorations(outcome))
    tally = outcome.tally
    console.print(
        f"seed {outcome.seed}: {tally.samples:,} samples measured; {tally.committed:,} records: "
        f"{tally.stored_once:,} stored once, {tally.held:,} still on the probe, "
        f"{tally.gaps:,} in gaps, {tally.duplicates} stored twice, {tally.lost} lost; "
        f"{outcome.ran_s:.0f} s, {outcome.cpu_s / outcome.ran_s:.2f} processors busy",
        soft_wrap=True,
    )
    missed = outcome.missed_bars()
    console.print("every bar holds" if not missed else f"missed: {'; '.join(missed)}")


def changes_table(
    title: str, rows: Iterable[Row], at: Callable[[float], str], is_bad: Callable[[Row], bool]
) -> Table:
    """Return every change of the truth beside what was told of it; errors in real seconds."""
    table = Table("line", "when (UTC)", "truth", "told", "error s", "decided after s", title=title)
    table.columns[0].no_wrap = True
    table.columns[0].overflow = "fold"
    for row in rows:
        name = row.line if row.target is None else f"{row.line}/{row.target}"
        what = f"{row.before or '…'} > {row.after}"
        table.add_row(
            name,
            at(row.at_s),
            f"{what} (restored)" if row.restores else what,
            row.told or "-",
            number(row.error_s),
            number(row.late_s),
            style="red" if is_bad(row) else None,
        )
    return table


def when(scenario: Scenario, at_s: float) -> str:
    """Return a moment of a scenario as UTC; far outside of it: never."""
    if abs(at_s) > 10 * scenario.length_s:
        return "never"
    return f"{scenario.begins + timedelta(seconds=round(at_s)):%d %b %H:%M:%S}"


def number(value: float | None) -> str:
    """Return seconds with one decimal."""
    return "-" if value is None else f"{value:.1f}"


def _restorations(outcome: Outcome) -> Table:
    table = Table(
        "server reachable again",
        "backlog then",
        "first summary after lab s",
        "backlog complete after lab s",
    )
    for one in outcome.restorations:
        after = (
            number(None if at_s is None else at_s - one.run_s)
            for at_s in (one.summary_s, one.complete_s)
        )
        table.add_row(when(outcome.scenario, one.at_s), f"{one.backlog:,}", *after)
    return table
