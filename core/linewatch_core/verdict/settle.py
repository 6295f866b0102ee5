"""Hysteresis: a verdict is told when enough consecutive rounds said it, never faster.

Works on a Track and knows nothing of evidence. A round that says `unknown` contradicts
nothing: it neither ends a streak, if it is alone, nor bounds when a change was. Between
two changes of a track lie at least as many rounds as the new verdict's hold demands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_core.judging import VerdictSettings
from linewatch_core.verdict.memory import Streak, Track
from linewatch_core.verdict.rules import UNSETTLED_RULE
from linewatch_core.verdict.settings import hold_of
from linewatch_core.verdict.states import LineVerdict, TargetVerdict

SAMPLES_A_ROUND_MAX = 24
SEQS_ROUNDS_KEPT = 3
"""A transition names the samples of the first round, and of the last two, that decided it."""
SAME_HOSTS_MIN = 0.5
"""Share of hosts (of all that answered in either round) that a stable subset has in common."""
UNSETTLED_FACTOR = 2
BLIND_ROUNDS_MAX = 1
"""So many rounds in a row may say `unknown` without ending a streak: one lost packet can do it."""

AnyVerdict = LineVerdict | TargetVerdict


@dataclass(frozen=True, slots=True)
class Said:
    """What one round says: the verdict, its rule, and the samples behind it.

    Attributes:
        round_ms: when the round began.
        until_ms: by when its last sample showed what it showed.
        rests_ms: when the oldest outcome began on which it rests: some are carried over
            from an earlier round.
        hosts: who answers; the streak starts anew if they change (None: it doesn't matter).
    """

    verdict: AnyVerdict
    rule: str
    rule_version: int
    round_ms: int
    until_ms: int
    rests_ms: int
    seqs: Sequence[int] = ()
    hosts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that took over: the rounds between which it happened, and why.

    Attributes:
        before_ms: when the last round that contradicts it began; None: there was none.
        rests_ms: when the oldest outcome began on which that round rests.
        agreed_ms: when the last round began that said what was in force.
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
    rests_ms: int | None = None
    agreed_ms: int | None = None


def step(track: Track, said: Said, current: AnyVerdict, settings: VerdictSettings) -> Change | None:
    """Take one round's word into a track; return the change if its verdict changes.

    Args:
        track: changed in place.
        current: the track's verdict as a value.
    """
    unknown = type(current)("unknown")
    says_nothing = said.verdict is unknown
    if said.verdict == current and not says_nothing:
        _agree(track, said)
        return None
    streak = _blind(track, said) if says_nothing else _sighted(track, said)
    needed = _rounds_needed(current, said.verdict, settings)
    if current is unknown and says_nothing:
        if track.streak is None or streak.rounds >= needed:
            _agree(track, said)
        return None
    if not track.contradicted:
        track.since_ms, track.agreed_ms = said.round_ms, track.last_ms
    track.contradicted += 1
    if not says_nothing:
        track.last_ms, track.rests_ms = said.round_ms, said.rests_ms
    if streak.rounds >= needed:
        return _change(track, streak, said) if _held(streak, said, settings) else None
    worn_out = track.contradicted >= UNSETTLED_FACTOR * max(
        needed, hold_of(settings, current).clear_rounds
    )
    if worn_out and current is not unknown:
        return _unsettled(track, said)
    return None


def reset(track: Track, verdict: str) -> None:
    """Put a verdict in force without evidence of a round (a hole, a new boot)."""
    track.verdict = verdict
    track.streak, track.blind, track.contradicted = None, None, 0
    track.last_ms = track.rests_ms = track.agreed_ms = None


def _agree(track: Track, said: Said) -> None:
    """Take a round that says what is in force: nothing is suspected any more."""
    track.streak, track.blind, track.contradicted = None, None, 0
    track.last_ms, track.rests_ms = said.round_ms, said.rests_ms


def _blind(track: Track, said: Said) -> Streak:
    """Take a round that says `unknown`; one too many, and another verdict's streak counts anew.

    That streak is not forgotten: what contradicts it was before it.
    """
    track.blind = _extended(track.blind, track, said)
    if track.streak is not None and track.blind.rounds > BLIND_ROUNDS_MAX:
        track.streak.rounds, track.streak.seqs = 0, []
    return track.blind


def _sighted(track: Track, said: Said) -> Streak:
    """Take a round that says a verdict which is not the one in force."""
    track.blind = None
    track.streak = _extended(track.streak, track, said)
    return track.streak


def _held(streak: Streak, said: Said, settings: VerdictSettings) -> bool:
    """Return whether a streak lasted its time, and newer samples confirm those it began with."""
    raise_ms = hold_of(settings, said.verdict).raise_ms
    confirmed = streak.seqs[0] != streak.seqs[-1]
    return not raise_ms or (confirmed and said.round_ms - streak.first_ms >= raise_ms)


def _rounds_needed(current: AnyVerdict, said: AnyVerdict, settings: VerdictSettings) -> int:
    if said.value == "ok" and current.value != "unknown":
        return hold_of(settings, current).clear_rounds
    return hold_of(settings, said).raise_rounds


def _extended(old: Streak | None, track: Track, said: Said) -> Streak:
    """Return a streak with one more round; a new one if the round says something else."""
    seqs = tuple(said.seqs[:SAMPLES_A_ROUND_MAX])
    hosts = sorted(said.hosts or ())
    if old is None or old.verdict != said.verdict.value or not _same_hosts(old, said):
        old = Streak(
            said.verdict.value,
            said.rule,
            said.rule_version,
            track.last_ms,
            track.rests_ms,
            said.round_ms,
            said.until_ms,
            rounds=0,
        )
    if not old.rounds:
        old.first_ms, old.until_ms = said.round_ms, said.until_ms
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
    before, agreed_ms = track.verdict, track.agreed_ms
    reset(track, said.verdict.value)
    track.last_ms, track.rests_ms = said.round_ms, said.rests_ms
    return Change(
        before=before,
        after=said.verdict.value,
        rule=streak.rule,
        rule_version=streak.rule_version,
        before_ms=streak.before_ms,
        first_ms=streak.first_ms,
        until_ms=streak.until_ms,
        samples=tuple(sorted({seq for seqs in streak.seqs for seq in seqs})),
        rests_ms=streak.rests_ms,
        agreed_ms=agreed_ms,
    )


def _unsettled(track: Track, said: Said) -> Change:
    before, since_ms, agreed_ms = track.verdict, track.since_ms, track.agreed_ms
    reset(track, "unknown")
    track.last_ms, track.rests_ms = said.round_ms, said.rests_ms
    rule, version = UNSETTLED_RULE
    seqs = tuple(said.seqs[:SAMPLES_A_ROUND_MAX])
    return Change(
        before, "unknown", rule, version, agreed_ms, since_ms, said.until_ms, tuple(sorted(seqs))
    )
