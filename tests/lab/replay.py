"""Plays a scenario with the real agent, broker and server, and holds truth beside the result.

The loop turns knobs and faults when they are due, looks at agent and server four times a
second, and hands each look to whoever shows it. Verdicts are the server's word; the
agent's own is shown, and judged by nobody.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from linewatch_agent.store.opening import open_database
from linewatch_agent.store.peek import peek
from linewatch_agent.store.summary import Summary
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from tests.lab.agent_config import Pace
from tests.lab.evidence import Evidence
from tests.lab.knobs import Knob
from tests.lab.lab_time import lab_time
from tests.lab.outcome import ROUNDS_OF_ERROR_MAX, Outcome
from tests.lab.player import Step, steps
from tests.lab.programs import ProgramError
from tests.lab.restorations import Restorations
from tests.lab.scenario import Scenario
from tests.lab.stage import Stage
from tests.lab.tally import account
from tests.lab.timeline import Timeline
from tests.lab.truth import Told, compare
from tests.lab.tun import going_first

LOOK_S = 0.25
WARM_UP_S = 60.0
LEARN_S = 9.0
"""More than the agent takes until it tells what it learned of names (process.py)."""
DRAIN_S = 60.0
FAREWELL_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """How everything stands at one moment of a run; `status` None: the agent is off."""

    run_s: float
    length_s: float
    scenario_s: float
    status: dict[str, Any] | None
    stored: dict[Stream, SeqSet]
    told: dict[str, Told]
    turned: tuple[Step, ...]


Show = Callable[[Look], None]


def play(
    scenario: Scenario, *, seed: int | None, pace: Pace, show: Show, with_modems: bool = True
) -> Outcome:
    """Play a scenario from an empty lab to an empty lab.

    Raises:
        CannotPlayError: it has a fault that the lab can't make.
        ProgramError: a program failed.
        RuntimeError: the lab can't be made here; the text says what to do.
    """
    used_s = _cpu_s()
    stage = Stage(scenario, seed=seed, pace=pace, with_modems=with_modems)
    with going_first(), stage:
        outcome = _Run(stage, scenario, pace, show).whole()
    return replace(outcome, cpu_s=_cpu_s() - used_s)


class _Run:
    def __init__(self, stage: Stage, scenario: Scenario, pace: Pace, show: Show) -> None:
        self._stage = stage
        self._programs = stage.programs
        self._scenario = scenario
        self._pace = pace
        self._show = show
        plan = lab_time(scenario, period_s=pace.period_s, round_s=pace.round_s)
        self._timeline = Timeline(plan)
        self._coming = list(steps(scenario, plan))
        self._restorations = Restorations(scenario)
        self._committed = dict.fromkeys(Stream, 0)
        self._turned: tuple[Step, ...] = ()
        self._well_since_s: float | None = None

    def whole(self) -> Outcome:
        """Wait until all is well, play to the end, and see what came of it."""
        self._until(self._is_well, WARM_UP_S, "cannot begin: the lines are not ok, and synced")
        self._until(self._has_learned, WARM_UP_S, "cannot begin: the lines do not stay ok")
        self._stage.keep_copy()
        self._began_s = time.monotonic()
        self._evidence = Evidence(
            self._programs.server,
            self._programs.probe,
            zero_ms=time.time_ns() // 1_000_000,
            speed=self._pace.speed,
        )
        while self._now_s() < self._timeline.length_s:
            self._make_due()
            self._look()
            time.sleep(max(0.0, LOOK_S - self._now_s() % LOOK_S))
        ran_s = self._now_s()
        self._until(self._is_synced, DRAIN_S, "cannot end: the server lacks records")
        self._programs.stop("agent")
        # The last records leave as the agent ends; the server may be storing them yet.
        committed = peek(self._programs.state).committed
        self._until(lambda: self._has_all(committed), FAREWELL_S, None)
        return self._outcome(ran_s)

    def _make_due(self) -> None:
        while self._coming and self._timeline.run_s(self._coming[0].lab_s) <= self._now_s():
            step = self._coming.pop(0)
            began_s = self._now_s()
            self._stage.make(step)
            if not isinstance(step.event.what, Knob):
                self._timeline.pause(began_s, self._now_s() - began_s)
            self._timeline.happened(step.scenario_s, self._now_s())
            others = tuple(one for one in self._turned if one.event is not step.event)
            self._turned = (*others, step) if step.begins else others
            if not self._coming or self._coming[0].scenario_s > step.scenario_s:
                stored = self._evidence.stored()
                self._restorations.changed(step.scenario_s, self._now_s(), self._committed, stored)

    def _look(self) -> None:
        self._programs.check()
        run_s, status, stored = self._now_s(), self._programs.status(), self._evidence.stored()
        if status is not None:
            self._committed = {s: status["store"]["committed"][s.value] for s in Stream}
        self._restorations.look(run_s, stored)
        self._show(
            Look(
                run_s=run_s,
                length_s=self._timeline.length_s,
                scenario_s=self._timeline.scenario_now_s(run_s),
                status=status,
                stored=stored,
                told={one.line: one for one in self._evidence.told() if one.target is None},
                turned=self._turned,
            )
        )

    def _outcome(self, ran_s: float) -> Outcome:
        scenario = self._timeline.played(self._scenario, modems=self._stage.modems is not None)
        contents = self._evidence.contents()
        comparison = compare(
            scenario,
            [one for one in self._evidence.told(contents) if one.latest_s > 0],
            slack_s=ROUNDS_OF_ERROR_MAX * self._pace.period_s,
            holes=self._evidence.holes(),
        )
        committed = peek(self._programs.state).committed
        held: dict[Stream, set[int]] = {stream: set() for stream in Stream}
        database = open_database(self._programs.state).db
        with database.reading():
            for one in Summary.load(database).ranges():
                held[one.stream].update(range(one.first, one.last + 1))
        database.close()
        return Outcome(
            scenario=self._scenario,
            seed=self._stage.country.seed,
            pace=self._pace,
            comparison=comparison,
            rounds_s=tuple(self._evidence.rounds_s(contents)),
            tally=account(committed, held, contents),
            restorations=tuple(self._restorations.found),
            timeline=self._timeline,
            ran_s=ran_s,
        )

    def _is_well(self) -> bool:
        status = self._programs.status()
        return (
            status is not None
            and len(status["lines"]) == len(self._stage.country.plan.line)
            and all(line["verdict"] == "ok" for line in status["lines"])
            and status["uplink"]["connected"]
            and status["store"]["acked"]["raw"] > 0
        )

    def _has_learned(self) -> bool:
        """Return whether all went well for so long that the agent knows what is normal of names."""
        now_s = time.monotonic()
        self._well_since_s = (self._well_since_s or now_s) if self._is_well() else None
        return self._well_since_s is not None and now_s - self._well_since_s >= LEARN_S

    def _is_synced(self) -> bool:
        status = self._programs.status()
        self._restorations.look(self._now_s(), self._evidence.stored())
        return status is None or status["store"]["backlog_sealed"] == 0

    def _has_all(self, committed: dict[Stream, int]) -> bool:
        stored = self._evidence.stored()
        return all(not last or stored[s].covers(1, last) for s, last in committed.items())

    def _until(self, ready: Callable[[], bool], patience_s: float, otherwise: str | None) -> None:
        """Wait; where it does not come to that, fail with `otherwise`, or (None) go on."""
        deadline = time.monotonic() + patience_s
        while not ready():
            self._programs.check()
            if time.monotonic() > deadline:
                if otherwise is None:
                    return
                raise ProgramError(f"{otherwise} after {patience_s:g} s: {self._in_short()}")
            time.sleep(LOOK_S)

    def _in_short(self) -> str:
        status = self._programs.status()
        if status is None:
            return "the agent does not answer"
        lines = {line["id"]: line["verdict"] for line in status["lines"]}
        return f"{lines}, {status['store']['backlog']} records wait, {status['uplink']['problem']}"

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s


def _cpu_s() -> float:
    """Return the CPU of this process and of its children that have ended, theirs included."""
    return sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
