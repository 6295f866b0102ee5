"""What a probe learns of where targets are, when it tells it, and what it never learns."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.settings import TruthConfig
from linewatch_agent.plan.truth import (
    AGE_MS_MAX,
    DAY_MS,
    NETWORKS_MAX,
    TARGETS_MAX,
    Proof,
    TruthBook,
)
from linewatch_agent.plan.truth_entries import ENTRIES_MAX, HOUR_MS
from linewatch_agent.plan.verdict_settings import given_truth
from linewatch_core.judging import CachedTruth
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval

UNKNOWN = Interval(None, None)
STEP_MS = 600_000
A, B, C = "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"
NOTHING = CachedTruth()


def target(name: str, host: str = "a.example") -> Target:
    return Target(id=name, role=Role.SENSITIVE, host=host, checks=(Check.HTTP,))


TARGETS = (target("news"), target("chat", "b.example"))


def book(
    kept: bytes | None = None,
    *,
    given: CachedTruth = NOTHING,
    now_ms: int = 0,
    targets: Sequence[Target] = TARGETS,
) -> TruthBook:
    return TruthBook(targets, given=given, kept=kept, now_ms=now_ms)


def day(number: float) -> Interval:
    return Interval(int(number * DAY_MS), int(number * DAY_MS) + 1000)


def rounds(one: TruthBook, proofs: Sequence[Proof], count: int, *, from_ms: int = 0) -> int:
    """Let a book learn the same in rounds ten minutes apart; return when the last one was."""
    now_ms = from_ms
    for _ in range(count):
        now_ms += STEP_MS
        one.learn(now_ms, ok=True, proofs=proofs)
    return now_ms


def networks_after(steps: Sequence[Sequence[Proof]]) -> dict[str, tuple[str, ...]]:
    """Return which networks are known after rounds that proved so."""
    one = book()
    for number, proofs in enumerate(steps):
        one.learn(number * STEP_MS, ok=True, proofs=proofs)
    told = one.due(HOUR_MS + len(steps) * STEP_MS, UNKNOWN) or one.first(len(steps) * STEP_MS)
    return {} if told is None else told.networks


NEWS_A, NEWS_B = Proof("news", A, "1" * 16), Proof("news", B, "1" * 16)
SUSPECT = Proof("news", B, "e" * 16, trusted=False)


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        ([], {}),
        ([[NEWS_A]] * 2, {}),
        ([[NEWS_A]] * 3, {"news": (A,)}),
        # Two lines in one round are one round.
        ([[NEWS_A, NEWS_A], [NEWS_A]], {}),
        # Content networks alternate: each must be seen three times.
        ([[NEWS_A], [NEWS_B]] * 3, {"news": (A, B)}),
        ([[NEWS_A], [NEWS_B]] * 2 + [[NEWS_A]], {"news": (A,)}),
        # A suspicion makes what was not yet known begin anew, and keeps what is known.
        ([[NEWS_B], [NEWS_B], [SUSPECT], [NEWS_B]], {}),
        ([[NEWS_A]] * 3 + [[SUSPECT]] * 5, {"news": (A,)}),
        # A target that is not configured is nobody's.
        ([[Proof("other", A, None)]] * 5, {}),
    ],
)
def test_what_is_learned_of_networks(
    steps: Sequence[Sequence[Proof]], known: dict[str, tuple[str, ...]]
) -> None:
    """Only what was proved in three rounds, and never what a suspicion lies on."""
    assert networks_after(steps) == known


def test_authorities_are_learned_beside_networks() -> None:
    """Each target's own, and none where the record names none."""
    one = book()
    now_ms = rounds(one, [NEWS_A, Proof("chat", C, None)], 3)
    truth = one.first(now_ms)
    assert truth is not None
    assert truth.issuers == {"news": ("1" * 16,)}
    assert truth.networks == {"chat": (C,), "news": (A,)}
    assert truth.age_ms == 0


def test_a_new_probe_tells_after_its_first_hour_of_ok() -> None:
    """Not before, and time in which no line is ok doesn't count."""
    one = book()
    assert one.first(0) is None
    now_ms = rounds(one, [NEWS_A], 6)
    assert one.due(now_ms, UNKNOWN) is None
    for _ in range(20):
        now_ms += STEP_MS
        one.learn(now_ms, ok=False, proofs=[])
    assert one.due(now_ms, UNKNOWN) is None
    now_ms = rounds(one, [NEWS_A], 3, from_ms=now_ms)
    truth = one.due(now_ms, UNKNOWN)
    assert truth is not None
    assert truth.networks == {"news": (A,)}


def test_later_it_tells_what_changed_once_a_day() -> None:
    """Nothing new is not told; something new waits until a day is over."""
    one = book()
    now_ms = rounds(one, [NEWS_A], 8)
    assert one.due(now_ms, UNKNOWN) is not None
    now_ms = rounds(one, [NEWS_A], 200, from_ms=now_ms)
    assert one.due(now_ms, UNKNOWN) is None
    now_ms = rounds(one, [NEWS_B], 3, from_ms=now_ms)
    truth = one.due(now_ms, UNKNOWN)
    assert truth is not None
    assert truth.networks == {"news": (A, B)}
    later_ms = rounds(one, [Proof("news", C, None)], 3, from_ms=now_ms)
    assert one.due(later_ms, UNKNOWN) is None
    assert one.due(now_ms + DAY_MS, UNKNOWN) is not None


def test_a_truth_that_is_confirmed_is_told_anew_before_it_is_too_old() -> None:
    """Readers count its age from when it was told: after a week they hear that it still holds."""
    one = book()
    now_ms = rounds(one, [NEWS_A], 8)
    assert one.due(now_ms, UNKNOWN) is not None
    told = []
    for _ in range(30 * 144):
        now_ms = rounds(one, [NEWS_A], 1, from_ms=now_ms)
        told.append(one.due(now_ms, UNKNOWN))
    assert 3 <= sum(each is not None for each in told) <= 5


def test_what_was_not_seen_for_a_month_is_forgotten() -> None:
    """Also while the rest is confirmed every day."""
    one = book()
    now_ms = rounds(one, [NEWS_A, Proof("chat", C, None)], 3)
    gone_ms = now_ms + AGE_MS_MAX
    while now_ms <= gone_ms:
        now_ms = rounds(one, [NEWS_A], 1, from_ms=now_ms + HOUR_MS)
    truth = one.due(now_ms, UNKNOWN)
    assert truth is not None
    assert truth.networks == {"news": (A,)}


def test_it_is_kept_over_a_restart_with_its_age() -> None:
    """Told again at once, as old as it was, to the hour."""
    one = book()
    now_ms = rounds(one, [NEWS_A, Proof("chat", C, "2" * 16)], 5)
    kept = one.export(now_ms + 30 * HOUR_MS, UNKNOWN)
    truth = book(kept, now_ms=77).first(77)
    assert truth is not None
    assert truth.networks == {"chat": (C,), "news": (A,)}
    assert truth.issuers == {"chat": ("2" * 16,), "news": ("1" * 16,)}
    assert truth.age_ms == 30 * HOUR_MS


def test_what_is_kept_names_networks_and_authorities_only() -> None:
    """No address, no moment but the day."""
    one = book()
    now_ms = rounds(one, [NEWS_A], 3)
    kept = one.export(now_ms, day(20_000.7)).decode()
    assert "192.0.2.0/24" in kept
    assert '"day":20000}' in kept
    assert str(now_ms) not in kept


def test_a_target_that_now_means_another_host_is_learned_anew() -> None:
    """The same id at another host has other networks; the other targets keep theirs."""
    one = book()
    now_ms = rounds(one, [NEWS_A, Proof("chat", C, None)], 3)
    kept = one.export(now_ms, UNKNOWN)
    moved = (target("news", "c.example"), TARGETS[1])
    truth = book(kept, targets=moved).first(0)
    assert truth is not None
    assert truth.networks == {"chat": (C,)}


def test_a_probe_that_was_off_for_long_says_so_once_it_knows_the_date() -> None:
    """Until then it counts its own running time; then what is too old is taken back."""
    one = book()
    kept = one.export(rounds(one, [NEWS_A], 3), day(20_000))
    short, long = book(kept), book(kept)
    for each in (short, long):
        assert each.first(0) is not None
        assert each.due(STEP_MS, UNKNOWN) is None
    aged = short.due(STEP_MS, day(20_010.5))
    assert aged is not None
    assert aged.networks == {"news": (A,)}
    assert 9 * DAY_MS < aged.age_ms < 12 * DAY_MS
    taken_back = long.due(STEP_MS, day(20_040))
    assert taken_back == NOTHING
    assert long.due(2 * STEP_MS, day(20_040)) is None


def test_the_configuration_adds_what_is_known_beforehand() -> None:
    """Told at the start, alone or with what was learned; an address has one spelling."""
    config = TruthConfig(
        block_addresses=("2001:DB8::0001",), block_pages=("a" * 16,), silent_resolvers=("d",)
    )
    truth = book(given=given_truth(config)).first(0)
    assert truth == CachedTruth(
        block_addresses=("2001:db8::1",), block_pages=("a" * 16,), silent_resolvers=("d",)
    )


def test_it_is_bounded() -> None:
    """Of one target the networks seen last stay; in all there are never more than so many."""
    one = book()
    for number in range(40):
        rounds(one, [Proof("news", f"10.0.{number}.0/24", None)], 3, from_ms=number * HOUR_MS)
    truth = one.first(41 * HOUR_MS)
    assert truth is not None
    assert set(truth.networks["news"]) == {f"10.0.{number}.0/24" for number in range(24, 40)}
    names = [target(f"{'t' * 44}{number}") for number in range(300)]
    full = CachedTruth(
        block_addresses=tuple(f"2001:db8:1111:2222:3333:4444:5555:{n:x}" for n in range(256)),
        block_pages=tuple(f"{n:016}" for n in range(256)),
    )
    many = book(targets=names, given=full)
    proofs = [
        Proof(each.id, f"10.{place}.{number}.0/24", f"{place:016}")
        for number, each in enumerate(names)
        for place in range(NETWORKS_MAX)
    ]
    rounds(many, proofs, 3)
    truth = many.first(HOUR_MS)
    assert truth is not None
    assert len(truth.networks) <= TARGETS_MAX
    assert sum(map(len, (*truth.networks.values(), *truth.issuers.values()))) <= 2 * ENTRIES_MAX
    # A sealed segment is below 64 KiB.
    assert len(msgspec.msgpack.encode(truth)) < 52 * 1024


@given(st.binary(max_size=200))
def test_damaged_bytes_begin_anew(kept: bytes) -> None:
    """What is on a card that wears out is no reason not to start."""
    assert book(kept).first(0) is None
