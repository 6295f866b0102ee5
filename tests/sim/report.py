"""A run's outcome as tables for the terminal."""

from datetime import timedelta

from rich.console import Console
from rich.table import Table

from tests.lab.scenario import Scenario
from tests.lab.truth import Row
from tests.sim.outcome import Outcome


def show(outcome: Outcome, console: Console) -> None:
    """Print truth beside verdicts, the records, the restorations and the bars."""
    scenario = outcome.scenario
    console.print(_changes(outcome))
    for one in outcome.comparison.unlisted:
        name = one.line if one.target is None else f"{one.line}/{one.target}"
        at = _when(scenario, one.latest_s)
        console.print(f"not true: {at} {name}: {one.before} > {one.after} ({one.rule})")
    console.print(_restorations(outcome))
    tally = outcome.tally
    console.print(
        f"seed {outcome.name}: {len(outcome.begun_s):,} rounds, {tally.measured:,} samples; "
        f"{tally.committed:,} records: {tally.stored_once:,} stored once, "
        f"{tally.held:,} still on the probe, {tally.gaps} in gaps, "
        f"{tally.duplicates} stored twice, {tally.lost} lost; "
        f"{tally.unwritten} samples went with the power; "
        f"{tally.resent} segments came twice and were stored once",
        soft_wrap=True,
    )
    missed = outcome.missed_bars()
    console.print("every bar holds" if not missed else f"missed: {'; '.join(missed)}")


def _changes(outcome: Outcome) -> Table:
    table = Table("line", "when (UTC)", "truth", "told", "error s", "decided after s", "in round",
                  title=outcome.scenario.name)  # fmt: skip
    table.columns[0].no_wrap = True
    table.columns[0].overflow = "fold"
    for row in outcome.comparison.rows:
        name = row.line if row.target is None else f"{row.line}/{row.target}"
        what = f"{row.before or '…'} > {row.after}"
        table.add_row(
            name,
            _when(outcome.scenario, row.at_s),
            f"{what} (restored)" if row.restores else what,
            row.told or "-",
            _number(row.error_s),
            _number(row.late_s),
            str(outcome.rounds_to_tell(row)),
            style="red" if _bad(row) else None,
        )
    return table


def _restorations(outcome: Outcome) -> Table:
    table = Table("server reachable again", "backlog then", "connected after s",
                  "first summary after s", "backlog complete after s")  # fmt: skip
    for one in outcome.restorations:
        moments_s = (one.connected_s, one.summary_s, one.complete_s)
        after = (_number(None if at_s is None else at_s - one.at_s) for at_s in moments_s)
        table.add_row(_when(outcome.scenario, one.at_s), f"{one.backlog:,}", *after)
    return table


def _bad(row: Row) -> bool:
    return row.error_s is None or row.error_s > 60


def _when(scenario: Scenario, at_s: float) -> str:
    return f"{scenario.begins + timedelta(seconds=round(at_s)):%d %b %H:%M:%S}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
