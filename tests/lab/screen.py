"""The lab on a terminal while it plays: a table that lives, or lines where there is none."""

from datetime import timedelta
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from linewatch_core.records import Role, Stream
from tests.lab.plan import CountryPlan
from tests.lab.replay import Look
from tests.lab.scenario import Scenario
from tests.lab.targets import lab_targets

_SETS = (Role.DOMESTIC, Role.INTERNATIONAL)
REFRESHES_A_S = 4


class Screen:
    """Shows looks; to be entered while a scenario plays."""

    def __init__(self, scenario: Scenario, plan: CountryPlan, console: Console) -> None:
        self._scenario = scenario
        self._plan = plan
        self._console = console
        self._roles = {target.id: target.role for target in lab_targets(plan)}
        self._shown = ""
        self._live: Live | None = None

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, look: Look) -> None:
        """Show how everything stands now."""
        if self._live is not None:
            self._live.update(self._table(look), refresh=True)
            return
        rows = [self._cells(look, line.id) for line in self._plan.line]
        text = "   ".join(f"{row[0]} {row[1]}: {row[2]}" for row in rows)
        if text != self._shown:
            self._shown = text
            self._console.print(f"{self._when(look)}  {text}", soft_wrap=True)

    def _table(self, look: Look) -> Group:
        lab = f"lab {look.run_s:.0f} of {look.length_s:.0f} s"
        table = Table(
            *("line", "truth", "agent says", "server says", "answers at home", "abroad"),
            title=f"{self._scenario.name}   {self._when(look)} UTC   {lab}",
        )
        for line in self._plan.line:
            cells = self._cells(look, line.id)
            table.add_row(*cells, style=None if cells[1] == cells[2] else "yellow")
        turned = ", ".join(sorted({step.event.what.value for step in look.turned})) or "nothing"
        return Group(table, Text(f"turned now: {turned}\n{self._records(look)}"))

    def _cells(self, look: Look, line: str) -> tuple[str, ...]:
        spans = self._scenario.truth_of(line)
        truth = next((one.state for one in spans if look.scenario_s < one.ends_s), spans[-1].state)
        told = look.told.get(line)
        server = "-" if told is None else told.after
        if look.status is None:
            return line, truth, "off", server, "-", "-"
        verdict = next((e["verdict"] for e in look.status["lines"] if e["id"] == line), "-")
        return line, truth, verdict, server, *(self._answering(look, line, s) for s in _SETS)

    def _answering(self, look: Look, line: str, role: Role) -> str:
        assert look.status is not None
        answers: dict[str, bool] = {}
        for sample in look.status["samples"]:
            target = sample["target"]
            if sample["line"] == line and self._roles.get(target) is role:
                answers[target] = answers.get(target, False) or sample["failure"] is None
        return f"{sum(answers.values())} of {len(answers)}"

    def _records(self, look: Look) -> str:
        if look.status is None:
            return "the probe has no power"
        store, uplink = look.status["store"], look.status["uplink"]
        stored = sum(look.stored[stream].count() for stream in Stream)
        way = f"over {uplink['line']}" if uplink["connected"] else "none"
        return (
            f"records: {sum(store['committed'].values()):,} measured, {stored:,} at the server, "
            f"{sum(store['acked'].values()):,} acknowledged, {store['backlog']:,} wait; "
            f"uplink: {way}"
        )

    def _when(self, look: Look) -> str:
        return f"{self._scenario.begins + timedelta(seconds=look.scenario_s):%d %b %H:%M}"
