"""What one lost packet may do to a claim: nothing. It neither moves, widens nor delays it much."""

import random
from dataclasses import replace

import msgspec
import pytest

from linewatch_core.records import Check, Transition
from linewatch_core.verdict import Round, Seen
from linewatch_core.verdict.turns import IN_FLIGHT_MS, Outcome, changed_between
from tests.core.verdict.scenes import CUT, TIMEOUT, UP, Look, Probe, Sight, Step

BLIND = Look(domestic=1, abroad=3)
"""Too little of D for `ok`, too much of I for anything else."""
NEWS = (
    Sight("news", Check.TCP),
    Sight("news", Check.HTTP, timings_us=(0, 900, 900)),
    Sight("news", Check.DNS),
)
LOSS_MAX = 0.02
SEEDS = 60


def spoilt(made: Round, fails: object, dice: random.Random, loss: float) -> Round:
    """Return a round whose samples fail where `fails` says so, and by chance."""
    samples = []
    for one in made.samples:
        down = fails(one.sample)  # type: ignore[operator]
        lost = dice.random() < loss
        if down or lost:
            sample = msgspec.structs.replace(
                one.sample, failure=TIMEOUT, rtt_us=None, timings_us=(), detail=None
            )
            samples.append(Seen(one.seq, sample))
        else:
            samples.append(one)
    return replace(made, samples=tuple(samples))


def course(
    look: Look, who: frozenset[str] | None, seed: int
) -> tuple[list[Transition], dict[str, int]]:
    """Return what is told over an outage at random moments, and those moments by direction.

    `who` are the targets that fail (None: all but the gateway); with a chance of up to 2 %
    any other question fails too. Rounds are dense where a suspicion asks for it.
    """
    dice = random.Random(seed)
    loss = dice.uniform(0, LOSS_MAX)
    cut_ms, back_ms = 300_000 + dice.randrange(60_000), 600_000 + dice.randrange(60_000)
    probe = Probe()
    told: list[Transition] = []

    def fails(sample: object) -> bool:
        target, at_ms = sample.target, sample.mono_ms  # type: ignore[attr-defined]
        concerned = target != "gateway" if who is None else target in who
        asked = sample.check is not Check.DNS or who is None  # type: ignore[attr-defined]
        return concerned and asked and cut_ms <= at_ms < back_ms

    while probe.now_ms < back_ms + 400_000:
        tight = probe.machine.wants_tight_schedule(probe.now_ms)
        probe.period_ms = 10_000 if tight else 30_000
        made = probe.round({"fixed": look, "other": replace(look, operator="B")})
        told += probe.machine.handle(spoilt(made, fails, dice, loss))
    return told, {"onset": cut_ms, "restoration": back_ms}


def test_with_two_percent_loss_a_line_is_still_dated_truly() -> None:
    """In 60 outages both intervals hold the true moment, and none is over two rounds wide."""
    for seed in range(SEEDS):
        told, truth = course(UP, None, seed)
        changes = [one for one in told if one.target is None and one.before != "unknown"]
        assert {one.after for one in changes} == {"dark", "ok"}, seed
        for one in changes:
            at_ms = truth["restoration" if one.after == "ok" else "onset"]
            assert one.earliest_ms <= at_ms <= one.latest_ms, (seed, one)
            assert one.latest_ms - one.earliest_ms <= 60_000, (seed, one)


def test_with_two_percent_loss_a_target_is_still_dated_truly() -> None:
    """The same of a site that is down: few questions a round, of which any may get lost."""
    for seed in range(SEEDS):
        told, truth = course(replace(UP, sights=NEWS), frozenset({"news"}), seed)
        mine = [one for one in told if one.target == "news" and one.before != "unknown"]
        changes = [one for one in mine if one.after != "unknown"]
        assert {one.after for one in changes} >= {"target_down", "ok"}, seed
        for one in changes:
            at_ms = truth["restoration" if one.after == "ok" else "onset"]
            assert one.earliest_ms <= at_ms <= one.latest_ms, (seed, one)


def test_one_blind_round_does_not_end_a_streak() -> None:
    """A round that says nothing contradicts nothing: three others still make a verdict."""
    Probe().walk(
        [
            Step({"fixed": UP}, {"fixed": "ok"}, told=["fixed: unknown > ok"]),
            Step({"fixed": CUT}, {"fixed": "ok"}, rounds=1),
            Step({"fixed": BLIND}, {"fixed": "ok"}, rounds=1),
            Step({"fixed": CUT}, {"fixed": "ok"}, rounds=1),
            Step({"fixed": CUT}, {"fixed": "line_dead"}, rounds=1, told=["fixed: ok > line_dead"]),
            Step({"fixed": UP}, {"fixed": "line_dead"}, rounds=2),
            Step({"fixed": BLIND}, {"fixed": "line_dead"}, rounds=1),
            Step({"fixed": UP}, {"fixed": "ok"}, rounds=1, told=["fixed: line_dead > ok"]),
        ]
    )


def test_two_blind_rounds_make_a_streak_count_anew() -> None:
    """Yet what contradicts the change lies before them, and so does the claim's begin."""
    probe = Probe()
    probe.run({"fixed": UP})
    before_ms = probe.now_ms
    probe.run({"fixed": CUT}, rounds=1)
    probe.run({"fixed": BLIND}, rounds=2)
    assert probe.run({"fixed": CUT}, rounds=2) == []
    (told,) = probe.run({"fixed": CUT}, rounds=1)
    assert (told.before, told.after) == ("ok", "line_dead")
    assert before_ms <= told.earliest_ms <= before_ms + probe.period_ms


def test_three_blind_rounds_are_unknown() -> None:
    """After a stray round of another verdict, too."""
    Probe().walk(
        [
            Step({"fixed": UP}, {"fixed": "ok"}, told=["fixed: unknown > ok"]),
            Step({"fixed": CUT}, {"fixed": "ok"}, rounds=1),
            Step({"fixed": BLIND}, {"fixed": "unknown"}, told=["fixed: ok > unknown"]),
        ]
    )


def series(*moments_ms: int, answers: str, sure: bool = False) -> list[Outcome]:
    """Return a series asked at these moments; `answers` has a `+` for each that answered."""
    return [
        Outcome(at_ms, 40, mark == "+", mark == "+", sure or mark == "+")
        for at_ms, mark in zip(moments_ms, answers, strict=True)
    ]


def onset(*every: list[Outcome]) -> tuple[int, int] | None:
    """Return the interval of an onset since 0."""
    return changed_between(every, good=False, since_ms=0, whole=False)


def test_the_last_answer_and_the_third_silence_bound_an_onset() -> None:
    """An answer proves; two silences may be chance, and three are not."""
    hosts = [series(at, 30_000 + at, 60_000 + at, answers="+--") for at in range(0, 5000, 1000)]
    assert onset(*hosts) == (4_000, 32_000 + IN_FLIGHT_MS)


def test_a_failure_that_no_loss_explains_bounds_like_an_answer() -> None:
    """A reset is no lost packet."""
    resets = series(0, 30_000, 60_000, answers="+--", sure=True)
    assert onset(resets) == (0, 30_000 + IN_FLIGHT_MS)


def test_a_loss_right_before_a_cut_does_not_end_the_claim_too_early() -> None:
    """The host that missed one question before the cut at 30,500 does not date it."""
    hosts = [series(at, 30_000 + at, 60_000 + at, answers="++-") for at in (100, 200, 300)]
    unlucky = series(0, 30_000, 60_000, answers="+--")
    found = onset(*hosts, unlucky)
    assert found is not None
    assert found[0] <= 30_500 <= found[1]


@pytest.mark.parametrize("good", [False, True])
def test_a_gradual_change_is_as_wide_as_it_was(good: bool) -> None:
    """Where hosts turned one after another, the change took all that time."""
    old, new = ("+", "-") if not good else ("-", "+")
    hosts = [
        series(*range(at, at + 300_000, 30_000), answers=old * turn + new * (10 - turn))
        for at, turn in ((0, 2), (1000, 2), (2000, 4), (3000, 4), (4000, 6), (5000, 6))
    ]
    found = changed_between(hosts, good=good, since_ms=0, whole=False)
    assert found is not None
    assert found[0] <= 31_000
    assert found[1] >= 184_000


def test_hosts_that_did_not_turn_say_nothing() -> None:
    """A stray loss of a host that answers, and a host that never answers, date nothing."""
    stray = series(0, 1000, 2000, 3000, answers="++-+")
    mute = series(0, 1000, 2000, 3000, answers="----")
    assert onset(stray, mute) is None
    assert changed_between([stray, mute], good=True, since_ms=0, whole=False) is None
