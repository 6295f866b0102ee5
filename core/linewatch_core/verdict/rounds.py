"""From records to rounds: the same for the agent as it measures and for whoever has its records.

A round is complete once a later one of the same agent run has begun and every
check of it has ended; the last round of a run is never judged, for nobody can
tell whether it was whole. Facts (lines, roles, clock) hold from their own
`mono_ms` on: those of a round are the ones told before it began.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import msgspec

from linewatch_core.judging import CachedTruth, VerdictSettings
from linewatch_core.modem_words import ModemDetail
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    BootStarted,
    Check,
    ConfigApplied,
    EvBody,
    Gap,
    GapReason,
    LineChanged,
    Record,
    Role,
    Roll,
    Sample,
    TruthApplied,
)
from linewatch_core.verdict.inputs import LineFacts, Round, Seen

DRIFT_DIVISOR = 2000
"""A clock between anchors drifts by at most 500 ppm (timebase.py)."""
HOUR_MS = 3_600_000
PERIOD_MS = 30_000


_Told: TypeAlias = tuple[int, int, int, EvBody]
"""When it was told, its number in `ev`, the order of arrival, and what."""


@dataclass(slots=True)
class _Facts:
    """What holds from some moment on."""

    lines: dict[str, LineFacts] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    period_ms: int = PERIOD_MS
    settings: VerdictSettings | None = None
    truth: TruthApplied | None = None
    anchor: Anchor | None = None
    ntp: Anchor | None = None
    gap: GapReason | None = None
    run_ms: int | None = None


class RoundBuilder:
    """Gathers the records of one boot into rounds."""

    def __init__(self, boot: str) -> None:
        """Begin a boot."""
        self._boot = boot
        self._facts = _Facts()
        self._told: list[_Told] = []
        self._starts_ms: list[int] = []
        self._rounds: dict[int, list[Seen]] = {}
        self._done_ms: int | None = None
        self._entries = 0

    def add(self, record: Record) -> None:
        """Take a record of any stream, once it has its number; order between streams is free."""
        body = record.body
        if isinstance(body, Sample):
            if self._done_ms is None or body.round_ms > self._done_ms:
                self._rounds.setdefault(body.round_ms, []).append(Seen(record.seq, body))
        elif not isinstance(body, Roll):
            self._tell(body.mono_ms, record.seq, body)
            if isinstance(body, BootStarted):
                self._starts_ms.append(body.mono_ms)

    def _tell(self, mono_ms: int, seq: int, body: EvBody) -> None:
        self._entries += 1
        heapq.heappush(self._told, (mono_ms, seq, self._entries, body))

    def take_complete(self, safe_ms: int | None = None) -> list[Round]:
        """Return the rounds that are complete, in order.

        Args:
            safe_ms: every check that began before it has ended and was handed over;
                None: all checks have ended.
        """
        ready = []
        starts = sorted(self._rounds)
        for round_ms, next_ms in pairwise(starts):
            if safe_ms is not None and safe_ms < next_ms:
                break
            if not self._ended_by_restart(round_ms, next_ms):
                ready.append(self._round(round_ms))
            del self._rounds[round_ms]
            self._done_ms = round_ms
        return ready

    def _ended_by_restart(self, round_ms: int, next_ms: int) -> bool:
        return any(round_ms < at_ms <= next_ms for at_ms in self._starts_ms)

    def _round(self, round_ms: int) -> Round:
        self._bring_up_to(round_ms)
        facts = self._facts
        gap, facts.gap = facts.gap, None
        modems = _modems(self._rounds[round_ms])
        return Round(
            boot=self._boot,
            round_ms=round_ms,
            samples=tuple(self._rounds[round_ms]),
            lines={
                name: msgspec.structs.replace(line, modem=modems.get(name))
                for name, line in facts.lines.items()
            },
            roles=dict(facts.roles),
            period_ms=facts.period_ms,
            truth=_truth_at(facts.truth, round_ms),
            settings=facts.settings,
            clock_error_ms=_clock_error_ms(facts.ntp, round_ms),
            hour=_hour(facts.anchor, round_ms),
            gap=gap,
            run_ms=facts.run_ms,
        )

    def _bring_up_to(self, now_ms: int) -> None:
        """Let everything take effect that was told by `now_ms`."""
        while self._told and self._told[0][0] <= now_ms:
            _apply(self._facts, heapq.heappop(self._told)[-1], self._boot)


def _apply(facts: _Facts, told: EvBody, boot: str) -> None:
    match told:
        case BootStarted():
            # A started agent tells everything anew; what an earlier run said is not its word.
            facts.lines, facts.roles = {}, {}
            facts.anchor = facts.ntp = facts.truth = None
            facts.run_ms = told.mono_ms
        case LineChanged():
            facts.lines[told.line] = LineFacts(told.kind, told.usable, told.problems, told.operator)
        case ConfigApplied():
            facts.roles = {note.id: note.role for note in told.targets}
            facts.period_ms, facts.settings = told.period_ms, told.settings
        case TruthApplied():
            facts.truth = told
        case Anchor() if told.source is not AnchorSource.NITZ and told.error_ms >= 0:
            facts.anchor = told
            if told.source is AnchorSource.NTP:
                facts.ntp = told
        case Gap() if told.from_boot != boot:
            facts.gap = told.reason
        case _:
            pass


def _modems(seen: Iterable[Seen]) -> dict[str, ModemDetail]:
    """Return what each line's modem said in a round."""
    return {
        one.sample.line: one.sample.detail
        for one in seen
        if one.sample.check is Check.MODEM and isinstance(one.sample.detail, ModemDetail)
    }


def _truth_at(told: TruthApplied | None, now_ms: int) -> CachedTruth:
    if told is None:
        return CachedTruth()
    age_ms = told.truth.age_ms + max(0, now_ms - told.mono_ms)
    return msgspec.structs.replace(told.truth, age_ms=age_ms)


def _clock_error_ms(ntp: Anchor | None, now_ms: int) -> int | None:
    if ntp is None:
        return None
    return ntp.error_ms + abs(now_ms - ntp.mono_ms) // DRIFT_DIVISOR


def _hour(anchor: Anchor | None, now_ms: int) -> int | None:
    if anchor is None:
        return None
    return (anchor.utc_ms + now_ms - anchor.mono_ms) // HOUR_MS % 24
