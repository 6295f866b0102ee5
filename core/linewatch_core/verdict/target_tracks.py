"""Judges the targets of one line in one round, each with its own hysteresis.

Anchors speak for their line only; targets of the roles below have verdicts of
their own, and so have resolvers that the truth calls silent.
"""

from collections.abc import Iterator, Mapping, Sequence

from linewatch_core.judging import CachedTruth, VerdictSettings
from linewatch_core.records import Check, Role
from linewatch_core.verdict.dating import Span, change_of_target
from linewatch_core.verdict.inputs import Round, Seen
from linewatch_core.verdict.line_conditions import View, target_judgeable
from linewatch_core.verdict.memory import LineMemory, TargetMemory
from linewatch_core.verdict.rules import HOLE_RULE, judge_target
from linewatch_core.verdict.settle import Change, Said, step
from linewatch_core.verdict.states import TargetVerdict
from linewatch_core.verdict.target_conditions import CLOCK_ERROR_MS_MAX, TRUTH_AGE_MS_MAX
from linewatch_core.verdict.target_evidence import (
    SLOW_CHECKS,
    by_target,
    foreign_issuers,
    target_evidence,
    verified_page,
)

JUDGED_ROLES = frozenset({Role.SENSITIVE, Role.NEUTRAL})
JUDGED_CHECKS = SLOW_CHECKS | {Check.ICMP, Check.TCP, Check.DNS, Check.HTTP}
TARGETS_MAX = 1024


def judge_targets(
    line: LineMemory,
    now: Round,
    view: View,
    by_line: Mapping[str, Sequence[Seen]],
    settings: VerdictSettings,
) -> Iterator[tuple[str, Change, Span]]:
    """Take a round's word on every target measured on a line; yield what changed, by name."""
    truth = now.truth if now.truth.age_ms <= TRUTH_AGE_MS_MAX else CachedTruth()
    name = view.own.line
    mine = by_target(one for one in by_line[name] if one.sample.check in JUDGED_CHECKS)
    elsewhere = by_target(one for other, seen in by_line.items() if other != name for one in seen)
    foreign = foreign_issuers(by_line[name], truth)
    judgeable, clock = target_judgeable(view), clock_ruled_out(now)
    yield from _forget_unmeasured(line, now, settings)
    for target in sorted(mine):
        role = now.roles.get(target)
        if role not in JUDGED_ROLES and target not in truth.silent_resolvers:
            continue
        if role is None or (target not in line.targets and len(line.targets) >= TARGETS_MAX):
            continue
        one = line.targets.setdefault(target, TargetMemory())
        seen = with_slow(one, mine[target], now.round_ms, settings)
        rule = judge_target(
            target_evidence(
                target,
                mine=seen,
                others=elsewhere.get(target, ()),
                truth=truth,
                foreign=foreign,
                judgeable=judgeable,
                clock_ruled_out=clock,
            )
        )
        said = Said(
            verdict=rule.verdict,
            rule=rule.id,
            rule_version=rule.version,
            round_ms=now.round_ms,
            until_ms=max(each.sample.mono_ms for each in mine[target]),
            rests_ms=min(_alternations_ms(seen), default=now.round_ms),
            seqs=sorted(each.seq for each in seen),
        )
        change = step(one.track, said, TargetVerdict(one.track.verdict), settings)
        if change is not None:
            yield target, change, change_of_target(change, line.series, target)


def _alternations_ms(seen: Sequence[Seen]) -> list[int]:
    """Return when those by name began: slowness, or that there is none, rests on them alone."""
    return [each.sample.mono_ms for each in seen if each.sample.check is Check.SNI]


def _forget_unmeasured(
    line: LineMemory, now: Round, settings: VerdictSettings
) -> Iterator[tuple[str, Change, Span]]:
    """Claim nothing any more of targets that were not measured for long, and forget them."""
    for target, one in sorted(line.targets.items()):
        last_ms = one.track.last_ms
        if last_ms is not None and now.round_ms - last_ms <= settings.stale_ms:
            continue
        before_ms = now.round_ms if last_ms is None else last_ms
        if one.track.verdict != "unknown":
            span = Span(before_ms, now.round_ms)
            yield (
                target,
                Change(one.track.verdict, "unknown", *HOLE_RULE, None, 0, now.round_ms, ()),
                span,
            )
        del line.targets[target]


def with_slow(
    one: TargetMemory, mine: Sequence[Seen], now_ms: int, settings: VerdictSettings
) -> list[Seen]:
    """Return a target's samples with the last of each slow check that is not too old."""
    for each in mine:
        if each.sample.check in SLOW_CHECKS:
            one.slow[each.sample.check.value] = each
    one.slow = {
        check: each
        for check, each in one.slow.items()
        if now_ms - each.sample.mono_ms <= settings.carry_ms
    }
    slow = [one.slow[check] for check in sorted(one.slow)]
    return [each for each in mine if each.sample.check not in SLOW_CHECKS] + slow


def clock_ruled_out(now: Round) -> bool:
    """Return whether the system clock is known to be right enough to judge certificates.

    Either it is disciplined, or a chain was verified by it in this very round.
    """
    if now.clock_error_ms is not None and now.clock_error_ms <= CLOCK_ERROR_MS_MAX:
        return True
    return any(verified_page(one.sample) is not None for one in now.samples)
