"""Rounds of real checks in the lab, as the verdict rules take them.

Each call runs every target's checks on every line at once, and gives the round
that records of it would make. Time is the caller's: a round may stand for any
period. No store and no sync is in between; the replay of whole scenarios has them.
"""

from collections.abc import Iterator

import msgspec

from linewatch_core.details import Detail
from linewatch_core.judging import CachedTruth
from linewatch_core.records import Check, Role, Sample
from linewatch_core.verdict.inputs import LineFacts, Round, Seen
from tests.lab.plan import CountryPlan
from tests.lab.targets import lab_targets
from tests.lab.worker import Worker

TIMEOUT_S = 2.5
"""Longer than an encrypted question over the slowest line takes when all run at once."""
BOOT = "b" * 32
PERIOD_MS = 30_000
CLOCK_ERROR_MS = 50
DEEPER = (Check.SNI, Check.HOST, Check.NEIGHBOUR, Check.CONTRAST)
"""Some seconds each; they tell of targets only."""


class Rounds:
    """Makes one round after the other; goodput is left out, which needs hours of normal."""

    def __init__(self, plan: CountryPlan, probe: Worker, *, deeper: bool) -> None:
        """Measure the lab's targets through `probe`; `deeper` with the checks that compare."""
        self._left_out = {Check.THROUGHPUT} if deeper else {Check.THROUGHPUT, *DEEPER}
        self._plan = plan
        self._probe = probe
        self._targets = lab_targets(plan)
        self._count = 0
        self._seq = 0

    def next(self) -> Round:
        """Measure once and return it."""
        self._count += 1
        round_ms = self._count * PERIOD_MS
        problems: dict[str, list[str]] = self._probe.ask("lines")
        return Round(
            boot=BOOT,
            round_ms=round_ms,
            samples=tuple(self._seen(round_ms)),
            lines={
                line.id: LineFacts(
                    kind=line.kind, operator=line.operator, problems=tuple(problems[line.id])
                )
                for line in self._plan.line
            },
            roles={target.id: target.role for target in self._targets},
            period_ms=PERIOD_MS,
            truth=self._truth(),
            clock_error_ms=CLOCK_ERROR_MS,
        )

    def _seen(self, round_ms: int) -> Iterator[Seen]:
        asked = [
            (line.id, target, check)
            for line in self._plan.line
            for target in self._targets
            for check in target.checks
            if check not in self._left_out
        ]
        questions = [[line, msgspec.to_builtins(target), check, TIMEOUT_S]
                     for line, target, check in asked]  # fmt: skip
        answers = self._probe.ask(questions)
        for (line, target, check), outcome in zip(asked, answers, strict=True):
            self._seq += 1
            detail = outcome["detail"]
            sample = Sample(
                mono_ms=round_ms,
                slot_ms=round_ms,
                round_ms=round_ms,
                line=line,
                target=target.id,
                check=check,
                family=outcome["family"],
                failure=outcome["failure"],
                rtt_us=outcome["rtt_us"],
                timings_us=tuple(outcome["timings_us"]),
                address=outcome["address"],
                detail=None if detail is None else msgspec.convert(detail, Detail),
            )
            yield Seen(self._seq, sample)

    def _truth(self) -> CachedTruth:
        """Return where the sensitive names' addresses truly lie."""
        places = {
            name.partition(".")[0]: tuple(s.network for s in self._plan.site if name in s.names)
            for site in self._plan.site
            if site.role is Role.SENSITIVE
            for name in site.sensitive
        }
        return CachedTruth(networks=places)
