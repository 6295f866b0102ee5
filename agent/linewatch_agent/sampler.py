"""Runs the schedule: each check at its slot, on every line in the same instant.

A check is never skipped because another failed, and a line that once could be
measured stays in the rounds when its device is gone: the failure is the
evidence. A slot whose time has long passed (the machine slept) is never run
late: it is told as missed. What is measured goes to `on_sample`.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from linewatch_agent import clock
from linewatch_agent.checks.failures import GENERIC_TIMEOUT
from linewatch_agent.checks.limits import time_limit_s
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.runner import LineChecks
from linewatch_agent.checks.slack import Slack
from linewatch_agent.plan.calendar import Watch
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.pace import Pace, pace_of
from linewatch_agent.plan.schedule import NextRound, Slot, next_round, plan_round
from linewatch_agent.plan.settings import ScheduleConfig
from linewatch_agent.running_checks import Running, RunningChecks
from linewatch_core.records import Check, Sample
from linewatch_core.targets import Target

log = structlog.get_logger()


@dataclass(slots=True)
class LineWork:
    """One line in the rounds: its sockets and the families ever seen on it."""

    line: Line
    checks: LineChecks
    families: set[int]
    bytes_out: int = 0
    bytes_in: int = 0


@dataclass(slots=True)
class SamplerState:
    """What `status` reads: the last round, how many were missed, and the period in force."""

    round_ms: int | None = None
    period_s: float | None = None
    rounds: int = 0
    missed: int = 0
    last: dict[tuple[str, str, str, int], Sample] = field(default_factory=dict)


class Sampler:
    """Measures all targets on all lines, round after round."""

    def __init__(
        self,
        *,
        schedule: ScheduleConfig,
        targets: Sequence[Target],
        on_sample: Callable[[Sample], None],
        on_missed: Callable[[int, int], None],
        is_busy: Callable[[str], bool],
        pace: Callable[[], Pace] | None = None,
        allows: Callable[[str, Slot], bool] = lambda _, __: True,
        on_spent: Callable[[str, Slot, int], None] = lambda _, __, ___: None,
        on_round: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare the rounds.

        Args:
            pace: how to run the next round; by default always as `schedule` says.
            allows: whether a line (by its id) takes a slot; it may have to save data.
            on_sample: takes each outcome as a sample, when its check ends.
            on_missed: takes (from_ms, to_ms) of rounds that never ran.
            on_spent: takes the bytes that a check cost, both ways: (line, slot, bytes).
            is_busy: whether the uplink is sending backlog over a line now.
            on_round: is told of a round (round_ms) when it begins; must not take time.
        """
        self._schedule = schedule
        self._targets = targets
        self._on_sample = on_sample
        self._on_missed = on_missed
        self._is_busy = is_busy
        self._pace = pace or (lambda: pace_of(Watch(schedule), tight=False))
        self._allows = allows
        self._on_spent = on_spent
        self._on_round = on_round
        self._lines: dict[str, LineWork] = {}
        self._running = RunningChecks()
        self._slack = Slack()
        self._asked: list[tuple[str, Target, Check]] = []
        self._due_ms: int | None = None
        self.state = SamplerState()

    async def set_lines(self, lines: Iterable[Line]) -> None:
        """Take the lines as found now; known ones stay even if they are gone or broken."""
        for line in lines:
            work = self._lines.get(line.id)
            if work is None:
                if line.usable:
                    checks = LineChecks(line, slack=self._slack)
                    self._lines[line.id] = LineWork(line, checks, set(line.families))
                continue
            work.families |= set(line.families)
            if work.line != line:
                checks = LineChecks(line, slack=self._slack)
                old, work.checks, work.line = work.checks, checks, line
                await old.close()

    def ask(self, line: str, target: Target, check: Check) -> None:
        """Run a check once on one line as well, when the next round begins.

        It belongs to that round: one of its own would be a round in which nothing answers.
        """
        self._asked.append((line, target, check))

    def line_bytes(self) -> dict[str, tuple[int, int]]:
        """Return the bytes that checks sent and got since the start, per line."""
        return {name: (work.bytes_out, work.bytes_in) for name, work in self._lines.items()}

    def safe_ms(self) -> int:
        """Return the time before which every check that began has ended."""
        return self._running.safe_ms()

    def late_s(self) -> float:
        """Return how long ago the rounds' next step was due; 0 if it isn't yet."""
        return 0.0 if self._due_ms is None else max(0, clock.mono_ms() - self._due_ms) / 1000

    async def run(self) -> None:
        """Run rounds for ever."""
        period_ms: int | None = None
        number: int | None = None
        unmeasured_ms: int | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                pace = self._pace()
                if int(pace.period_s * 1000) != period_ms:
                    # Another period is another grid: its numbers begin anew.
                    period_ms, number = int(pace.period_s * 1000), None
                jitter_ms = int(random.uniform(0, pace.jitter_s) * 1000)
                coming = next_round(
                    after=number, now_ms=clock.mono_ms(), period_ms=period_ms, jitter_ms=jitter_ms
                )
                if coming.missed and number is not None and unmeasured_ms is None:
                    unmeasured_ms = (number + 1) * period_ms
                if unmeasured_ms is not None:
                    self._note_missed(unmeasured_ms, coming.number * period_ms, coming.missed)
                number = coming.number
                unmeasured_ms = await self._round(coming, pace, tasks)

    async def _round(self, coming: NextRound, pace: Pace, tasks: asyncio.TaskGroup) -> int | None:
        """Run a round; if it got too late for the rest of it, return when that was due."""
        round_ms, period_ms = coming.round_ms, int(pace.period_s * 1000)
        slots = plan_round(
            self._targets,
            round_ms=round_ms,
            period_ms=period_ms,
            spread=self._schedule.spread,
            number=coming.number,
            tight=pace.whole,
        )
        # A round in which no target is due must take its time too.
        self._due_ms = round_ms
        await _sleep_until(round_ms)
        if clock.mono_ms() - round_ms >= period_ms:
            return round_ms
        self._on_round(round_ms)
        loop = asyncio.get_running_loop()
        begun_ms: int | None = None
        for slot in slots:
            if slot.slot_ms != begun_ms:
                begun_ms = self._due_ms = slot.slot_ms
                await _sleep_until(slot.slot_ms)
                self._slack.ring(loop.time())
            if clock.mono_ms() - slot.slot_ms >= period_ms:
                return slot.slot_ms
            if slot is slots[0]:
                self.state.round_ms = round_ms
                self.state.rounds += 1
                self.state.period_s = pace.period_s
                self._begin_asked(round_ms, pace, tasks)
            for work in self._lines.values():
                if not self._allows(work.line.id, slot):
                    continue
                for family in sorted(work.families & set(slot.target.families)):
                    tasks.create_task(self._measure(work, slot, family, pace.timeout_s))
        return None

    def _begin_asked(self, round_ms: int, pace: Pace, tasks: asyncio.TaskGroup) -> None:
        """Begin what was asked for; in the first family that line and target share."""
        asked, self._asked = self._asked, []
        for line, target, check in asked:
            work = self._lines.get(line)
            families = sorted(work.families & set(target.families)) if work else []
            if work is not None and families:
                slot = Slot(round_ms, round_ms, target, check)
                tasks.create_task(self._measure(work, slot, families[0], pace.timeout_s))

    async def _measure(self, work: LineWork, slot: Slot, family: int, timeout_s: float) -> None:
        limit_s = time_limit_s(slot.check, slot.target, timeout_s=timeout_s)
        running = self._running.begin(limit_s)
        try:
            outcome = await self._outcome(running, work.checks, slot, family, timeout_s)
        finally:
            self._running.end(running)
        work.bytes_out += outcome.bytes_out
        work.bytes_in += outcome.bytes_in
        self._on_spent(work.line.id, slot, outcome.bytes_out + outcome.bytes_in)
        sample = self._sample(work.line.id, slot, running.began_ms, family, outcome)
        self.state.last[sample.line, sample.target, sample.check, family] = sample
        self._on_sample(sample)

    async def _outcome(
        self, running: Running, checks: LineChecks, slot: Slot, family: int, timeout_s: float
    ) -> Outcome:
        try:
            return await checks.run(slot.check, slot.target, family, timeout_s=timeout_s)
        except asyncio.CancelledError:
            # One cancellation may be ours; whoever else asks for the end gets it.
            if not running.was_given_up():
                raise
            log.error("check_hangs", check=slot.check.value, target=slot.target.id)
            return Outcome(GENERIC_TIMEOUT)

    def _sample(
        self, line: str, slot: Slot, began_ms: int, family: int, outcome: Outcome
    ) -> Sample:
        return Sample(
            mono_ms=began_ms,
            slot_ms=slot.slot_ms,
            round_ms=slot.round_ms,
            line=line,
            target=slot.target.id,
            check=slot.check,
            family=family,
            failure=outcome.failure,
            rtt_us=outcome.rtt_us,
            timings_us=outcome.timings_us,
            address=outcome.address,
            detail=outcome.detail,
            busy=self._is_busy(line),
        )

    def _note_missed(self, from_ms: int, to_ms: int, rounds: int) -> None:
        log.warning("rounds_missed", from_ms=from_ms, to_ms=to_ms, rounds=rounds)
        self.state.missed += rounds
        self._on_missed(from_ms, to_ms)


async def _sleep_until(mono_ms: int) -> None:
    """Sleep until CLOCK_BOOTTIME `mono_ms`; a machine that was suspended wakes late and goes on."""
    await asyncio.sleep(max(0, mono_ms - clock.mono_ms()) / 1000)
