"""Rounds and slots: the same on every line, paced, on a grid that survives restarts."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.schedule import ALL_DUE, NextRound, Slot, next_round, plan_round
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target


def target(name: str, *checks: Check, every: int = 1) -> Target:
    """Return a target."""
    return Target(id=name, role=Role.DOMESTIC, host="example.org", checks=checks, every=every)


TARGETS = st.lists(st.lists(st.sampled_from(Check), unique=True), max_size=8).map(
    lambda rows: [target(f"t{n}", *checks) for n, checks in enumerate(rows)]
)


@given(TARGETS, st.integers(0, 10**10), st.integers(1_000, 3_600_000), st.floats(0, 1, width=32))
def test_a_round_has_each_check_once_within_its_time(
    targets: list[Target], round_ms: int, period_ms: int, spread: float
) -> None:
    """Any targets, period and spread: every check has a slot, in time order, inside the round."""
    slots = plan_round(targets, round_ms=round_ms, period_ms=period_ms, spread=spread)
    wanted = {(t.id, check) for t in targets for check in t.checks}
    assert {(slot.target.id, slot.check) for slot in slots} == wanted
    assert len(slots) == len(wanted)
    assert [slot.slot_ms for slot in slots] == sorted(slot.slot_ms for slot in slots)
    assert all(round_ms <= s.slot_ms < round_ms + max(1, period_ms * spread) for s in slots)
    assert {slot.round_ms for slot in slots} <= {round_ms}


def test_slots_are_evenly_paced() -> None:
    """Four checks over half of a round of 30 s: one every 3.75 s."""
    targets = [target("a", Check.ICMP, Check.TCP), target("b", Check.ICMP, Check.TCP)]
    slots = plan_round(targets, round_ms=60_000, period_ms=30_000, spread=0.5)
    assert [slot.slot_ms - 60_000 for slot in slots] == [0, 3_750, 7_500, 11_250]
    assert [slot.check for slot in slots] == [Check.ICMP, Check.ICMP, Check.TCP, Check.TCP]


def test_few_checks_begin_alone() -> None:
    """Where there is room for 0.4 s between them, each has a start of its own."""
    targets = [target(f"t{n}", Check.ICMP, Check.TCP, Check.HTTP) for n in range(20)]
    slots = plan_round(targets, round_ms=0, period_ms=30_000, spread=0.8)
    assert len({slot.slot_ms for slot in slots}) == len(slots) == 60


def test_where_many_are_due_small_checks_begin_together() -> None:
    """Fifty targets: four pings or queries at an instant, pages alone, 0.4 s from start to start.

    What begins together are checks next to one another of different targets.
    """
    targets = [target(f"t{n}", Check.ICMP, Check.DNS, Check.HTTP) for n in range(50)]
    slots = plan_round(targets, round_ms=0, period_ms=30_000, spread=1.0)
    starts: dict[int, list[Slot]] = {}
    for slot in slots:
        starts.setdefault(slot.slot_ms, []).append(slot)
    assert len(starts) == 25 + 50
    assert [len(together) for together in starts.values()] == [4] * 25 + [1] * 50
    gaps = {later - earlier for earlier, later in pairwise(starts)}
    assert gaps == {400}
    assert all(
        len({(slot.target.id, slot.check) for slot in together}) == len(together)
        for together in starts.values()
    )


def test_at_most_five_begin_together() -> None:
    """A tight round of very many targets has them closer to one another, not more at once."""
    targets = [target(f"t{n}", Check.ICMP, Check.TCP, Check.DNS) for n in range(40)]
    slots = plan_round(targets, round_ms=0, period_ms=5_000, spread=0.8)
    sizes = Counter(slot.slot_ms for slot in slots)
    assert set(sizes.values()) == {5}
    assert len(sizes) == 24


def test_a_page_alone_comes_between() -> None:
    """A check that needs the loop for itself shares its start with nobody."""
    targets = [target(f"t{n}", *[Check.RANDOM_NAME, Check.ICMP]) for n in range(30)]
    slots = plan_round(targets, round_ms=0, period_ms=5_000, spread=0.8)
    sizes = Counter(slot.slot_ms for slot in slots)
    alone = [slot for slot in slots if slot.check is Check.RANDOM_NAME]
    assert all(sizes[slot.slot_ms] == 1 for slot in alone)


def test_without_spread_all_is_due_at_once() -> None:
    """A burst is possible, for those who know why."""
    slots = plan_round([target("a", *Check)], round_ms=7, period_ms=30_000, spread=0)
    assert {slot.slot_ms for slot in slots} == {7}


def test_a_seldom_target_is_due_in_every_nth_round() -> None:
    """Those of one `every` come together, and the turn counts how often they did."""
    often, seldom = target("a", Check.ICMP), target("b", Check.TCP, every=10)
    other = target("c", Check.DNS, every=5)
    due = {
        number: [
            (slot.target.id, slot.turn)
            for slot in plan_round(
                [often, seldom, other], round_ms=0, period_ms=30_000, spread=0.5, number=number
            )
        ]
        for number in (9, 10, 15, 20)
    }
    assert due == {
        9: [("a", 9)],
        10: [("a", 10), ("b", 1), ("c", 2)],
        15: [("a", 15), ("c", 3)],
        20: [("a", 20), ("b", 2), ("c", 4)],
    }


def test_a_round_can_leave_nothing_out() -> None:
    """On a suspicion every target is due, however seldom it is measured."""
    targets = [target("a", Check.ICMP, every=7), target("b", Check.TCP, every=2880)]
    slots = plan_round(targets, round_ms=0, period_ms=5_000, spread=0.8, number=ALL_DUE)
    assert [slot.target.id for slot in slots] == ["a", "b"]


def test_a_tight_round_is_one_more_turn_of_every_target() -> None:
    """So that a line that saves data takes every n-th of them, not all and not none."""
    targets = [target("a", Check.ICMP, every=7), target("b", Check.TCP)]
    slots = plan_round(targets, round_ms=0, period_ms=5_000, spread=0.8, number=12, tight=True)
    assert [(slot.target.id, slot.turn, slot.tight) for slot in slots] == [
        ("a", 12, True),
        ("b", 12, True),
    ]


def test_rounds_sit_on_a_grid_of_boot_time() -> None:
    """An agent that starts at any moment waits for the next multiple of the period."""
    assert next_round(after=None, now_ms=61_000, period_ms=30_000, jitter_ms=0) == NextRound(
        3, 90_000, 0
    )
    assert next_round(after=3, now_ms=90_500, period_ms=30_000, jitter_ms=250) == NextRound(
        4, 120_250, 0
    )


def test_a_round_that_is_late_by_less_than_a_period_still_runs() -> None:
    """Its time is past, so it runs at once, and none is missed."""
    assert next_round(after=3, now_ms=149_000, period_ms=30_000, jitter_ms=0) == NextRound(
        4, 120_000, 0
    )


def test_rounds_that_never_ran_are_counted() -> None:
    """After a suspend of ten minutes the missed rounds are told, and the grid goes on."""
    assert next_round(after=3, now_ms=731_000, period_ms=30_000, jitter_ms=0) == NextRound(
        24, 720_000, 20
    )


def test_a_longer_period_does_not_silence_the_probe() -> None:
    """A number of an older, finer grid lies hours ahead: the new grid begins instead."""
    assert next_round(after=1000, now_ms=30_000_500, period_ms=60_000, jitter_ms=0) == NextRound(
        501, 30_060_000, 0
    )


@given(
    st.none() | st.integers(0, 10**6),
    st.integers(0, 10**10),
    st.integers(1_000, 600_000),
    st.integers(0, 999),
)
def test_the_next_round_is_near(
    after: int | None, now_ms: int, period_ms: int, jitter_ms: int
) -> None:
    """Whatever ran last: the next is at most two periods ahead and less than one behind."""
    coming = next_round(after=after, now_ms=now_ms, period_ms=period_ms, jitter_ms=jitter_ms)
    ahead_ms = coming.round_ms - jitter_ms - now_ms
    assert -period_ms < ahead_ms <= 2 * period_ms
    assert coming.missed >= 0
    assert coming.round_ms == coming.number * period_ms + jitter_ms
