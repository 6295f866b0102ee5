"""What a round asks of the other parts, and tells them: pace, budget, verdicts, truth, modems.

The sampler, the meter and the judge know nothing of each other; here is what they have to
do with one another. Runs in the agent and reads its parts.
"""

from typing import TYPE_CHECKING

from linewatch_agent import clock
from linewatch_agent.plan.calendar import watch_at
from linewatch_agent.plan.check_cost import TRACE_BYTES
from linewatch_agent.plan.pace import Pace, pace_of
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.tracing import TRACED_ROLES
from linewatch_core.judging import CachedTruth
from linewatch_core.records import (
    BudgetChanged,
    Check,
    Gap,
    GapReason,
    Sample,
    Transition,
    TruthApplied,
)

if TYPE_CHECKING:
    from linewatch_agent.app import Agent


class Rounds:
    """What happens around each round and each sample."""

    def __init__(self, agent: "Agent") -> None:
        """Belong to an agent, whose other parts may be built later."""
        self._agent = agent
        self._answered_ms: dict[tuple[str, str], int] = {}
        self._outside = {
            target.id for target in agent.plan.targets if not target.host.startswith("@")
        }

    def prepare(self) -> Pace:
        """Bring the data budget up to date, and say how fast to measure now."""
        agent = self._agent
        now_ms, utc = clock.mono_ms(), agent.timekeeper.utc()
        agent.meter.begin_round(agent.watcher.lines, now_ms=now_ms, utc=utc)
        self.tell_truth(agent.truth.due(now_ms, utc))
        watch = watch_at(agent.plan.config.schedule, agent.plan.config.event, utc)
        tight = agent.judge.wants_tight_schedule(now_ms)
        agent.recorder.eager = tight
        return pace_of(watch, tight=tight)

    def begun(self, round_ms: int) -> None:
        """Let the modems be asked in a round that begins."""
        self._agent.modems.begin_round(round_ms, self._agent.watcher.lines)

    def missed(self, from_ms: int, to_ms: int) -> None:
        """Record that rounds never ran."""
        agent = self._agent
        gap = Gap(clock.mono_ms(), GapReason.OVERRUN, agent.boot, from_ms, to_ms)
        agent.recorder.event(gap)

    def sampled(self, sample: Sample) -> None:
        """Record a sample; an answer after a silence may mean that the uplink can go on."""
        agent = self._agent
        agent.recorder.sample(sample)
        if sample.failure is None and sample.target in self._outside:
            at = (sample.line, sample.target)
            silent_ms = sample.mono_ms - self._answered_ms.get(at, 0)
            self._answered_ms[at] = sample.mono_ms
            if silent_ms > 2000 * agent.plan.config.schedule.period_s:
                agent.meter.is_back(sample.line, sample.mono_ms)
                agent.uplink.poke(sample.line)

    def spent(self, line: str, slot: Slot, count: int) -> None:
        """Count what a check cost."""
        self._agent.meter.spend(line, slot.check, slot.target.role, count)

    def stepped(self, line: str, step: int) -> None:
        """Record that a line saves more data, or less."""
        self._agent.recorder.event(BudgetChanged(clock.mono_ms(), line, step))

    def changed(self, told: Transition) -> None:
        """Record a change; of a line, also where on the way it ends now."""
        agent = self._agent
        agent.recorder.event(told)
        line = next((one for one in agent.watcher.lines if one.id == told.line), None)
        if told.target is not None or line is None:
            return
        if not agent.meter.affords(line, len(TRACED_ROLES) * TRACE_BYTES):
            return
        for target in agent.tracing.after_change(line.id, line.families, clock.mono_ms()):
            agent.sampler.ask(line.id, target, Check.TRACE)

    def tell_truth(self, truth: CachedTruth | None) -> None:
        """Record the truth that verdicts rest on from now on, if it is another one."""
        if truth is not None:
            self._agent.recorder.event(TruthApplied(clock.mono_ms(), truth))

    def measured_ms(self) -> int:
        """Return the time before which every check that began has been recorded."""
        return min(self._agent.sampler.safe_ms(), self._agent.modems.safe_ms())
