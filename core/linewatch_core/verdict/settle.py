"""Hysteresis: a verdict is told when enough consecutive rounds said it, never faster.

Works on a Track and knows nothing of evidence. Between two changes of a track lie
at least as many rounds as the new verdict's hold demands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_core.verdict.memory import Streak, Track
from linewatch_core.verdict.rules import UNSETTLED_RULE
from linewatch_core.verdict.settings import Settings
from linewatch_core.verdict.states import LineVerdict, TargetVerdict

SAMPLES_A_ROUND_MAX = 24
SEQS_ROUNDS_KEPT = 3
"""A transition names the samples of the first round, and of the last two, that decided it."""
SAME_HOSTS_MIN = 0.5
"""Share of hosts (of all that answered in either round) that a stable subset has in common."""
UNSETTLED_FACTOR = 2

AnyVerdict = LineVerdict | TargetVerdict


@dataclass(frozen=True, slots=True)
class Said:
    """What one round says: the verdict, its rule, and the samples behind it.

    Attributes:
        round_ms: when the round began.
        until_ms: by when its last sample showed what it showed.
        hosts: who answers; the streak starts anew if they change (None: it doesn't matter).
    """

    verdict: AnyVerdict
    rule: str
    rule_version: int
    round_ms: int
    until_ms: int
    seqs: Sequence[int] = ()
    hosts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that took over: the rounds between which it happened, and why.

    Attributes:
        before_ms: when the last round that said otherwise began; None: there was none.
        first_ms, until_ms: begin and end of the first round that said it.
    """

    before: str
    after: str
    rule: str
    rule_version: int
    before_ms: int | None
    first_ms: int
    until_ms: int
    samples: tuple[int, ...]


def step(track: Track, said: Said, current: AnyVerdict, settings: Settings) -> Change | None:
    """Take one round's word into a track; return the change if its verdict changes.

    Args:
        track: changed in place.
        current: the track's verdict as a value.
    """
    if said.verdict == current:
        track.streak, track.contradicted = None, 0
        track.last_ms = said.round_ms
        return None
    if not track.contradicted:
        track.since_ms, track.agreed_ms = said.round_ms, track.last_ms
    track.contradicted += 1
    streak = _extended(track, said)
    track.streak, track.last_ms = streak, said.round_ms
    needed = _rounds_needed(current, said.verdict, settings)
    if streak.rounds >= needed:
        return _change(track, streak, said) if _held(streak, said, settings) else None
    unknown = type(current)("unknown")
    worn_out = track.contradicted >= UNSETTLED_FACTOR * max(
        needed, settings.hold_of(current).clear_rounds
    )
    if worn_out and current is not unknown:
        return _unsettled(track, said)
    return None


def reset(track: Track, verdict: str) -> None:
    """Put a verdict in force without evidence of a round (a hole, a new boot)."""
    track.verdict = verdict
    track.streak, track.contradicted, track.last_ms, track.agreed_ms = None, 0, None, None


def _held(streak: Streak, said: Said, settings: Settings) -> bool:
    """Return whether a streak lasted its time, and newer samples confirm those it began with."""
    raise_ms = settings.hold_of(said.verdict).raise_ms
    confirmed = streak.seqs[0] != streak.seqs[-1]
    return not raise_ms or (confirmed and said.round_ms - streak.first_ms >= raise_ms)


def _rounds_needed(current: AnyVerdict, said: AnyVerdict, settings: Settings) -> int:
    if said.value == "ok" and current.value != "unknown":
        return settings.hold_of(current).clear_rounds
    return settings.hold_of(said).raise_rounds


def _extended(track: Track, said: Said) -> Streak:
    seqs = tuple(said.seqs[:SAMPLES_A_ROUND_MAX])
    hosts = sorted(said.hosts or ())
    old = track.streak
    if old is None or old.verdict != said.verdict.value or not _same_hosts(old, said):
        return Streak(
            verdict=said.verdict.value,
            rule=said.rule,
            rule_version=said.rule_version,
            before_ms=track.last_ms,
            first_ms=said.round_ms,
            until_ms=said.until_ms,
            hosts=hosts,
            seqs=[seqs],
        )
    old.rule, old.rule_version, old.hosts = said.rule, said.rule_version, hosts
    old.rounds += 1
    old.seqs.append(seqs)
    if len(old.seqs) > SEQS_ROUNDS_KEPT:
        del old.seqs[1]
    return old


def _same_hosts(streak: Streak, said: Said) -> bool:
    if said.hosts is None:
        return True
    before = frozenset(streak.hosts)
    either = len(before | said.hosts)
    return not either or len(before & said.hosts) >= SAME_HOSTS_MIN * either


def _change(track: Track, streak: Streak, said: Said) -> Change:
    before = track.verdict
    reset(track, said.verdict.value)
    track.last_ms = said.round_ms
    return Change(
        before=before,
        after=said.verdict.value,
        rule=streak.rule,
        rule_version=streak.rule_version,
        before_ms=streak.before_ms,
        first_ms=streak.first_ms,
        until_ms=streak.until_ms,
        samples=tuple(sorted({seq for seqs in streak.seqs for seq in seqs})),
    )


def _unsettled(track: Track, said: Said) -> Change:
    before, since_ms, agreed_ms = track.verdict, track.since_ms, track.agreed_ms
    reset(track, "unknown")
    track.last_ms = said.round_ms
    rule, version = UNSETTLED_RULE
    seqs = tuple(said.seqs[:SAMPLES_A_ROUND_MAX])
    return Change(
        before, "unknown", rule, version, agreed_ms, since_ms, said.until_ms, tuple(sorted(seqs))
    )
