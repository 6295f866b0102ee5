"""The rounds: the same instant on every line, whatever a check or the machine does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from linewatch_agent import clock, running_checks, sampler
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.slack import Slack
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.plan.pace import Pace
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.settings import ScheduleConfig
from linewatch_agent.sampler import Sampler
from linewatch_core.records import Check, LineKind, Role, Sample
from linewatch_core.targets import Target

A = Line("fixed-1", LineKind.FIXED, "eth0", families=(4, 6))
B = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
TARGETS = [
    Target(id="site", role=Role.DOMESTIC, host="192.0.2.1", checks=(Check.TCP, Check.ICMP)),
    Target(id="far", role=Role.INTERNATIONAL, host="192.0.2.2", checks=(Check.TCP,)),
]
PERIOD_MS = 10_000
ANSWERED = Outcome(None, rtt_us=10_000, address="192.0.2.1", bytes_out=60, bytes_in=40)


@dataclass
class World:
    """Time that only the rounds' own sleeping moves, and what every check does."""

    now_ms: int = 25_000
    woken: dict[int, int] = field(default_factory=dict)
    behave: Callable[[Line, Check, Target, int], Outcome | asyncio.Event] = lambda *_: ANSWERED
    opened: list[Line] = field(default_factory=list)
    closed: list[Line] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    missed: list[tuple[int, int]] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)
    spent: list[tuple[str, str, Check, int]] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)
    paced_ms: list[int] = field(default_factory=list)
    rounds_left: int = 2
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep_until(self, mono_ms: int) -> None:
        """Let the checks that run go on, then wake at that moment, or when the test says."""
        for _ in range(20):
            await asyncio.sleep(0)
        if mono_ms // PERIOD_MS >= 3 + self.rounds_left:
            self.done.set()
            await asyncio.Event().wait()
        self.now_ms = max(self.now_ms, mono_ms, self.woken.pop(mono_ms, 0))

    def pace(self) -> Pace:
        """Return the next pace of the test, the last one for ever; note when it was asked for."""
        self.paced_ms.append(self.now_ms)
        assert len(self.paced_ms) < 100, "the rounds do not take their time"
        return self.paces.pop(0) if len(self.paces) > 1 else self.paces[0]

    def slots(self) -> dict[int, set[str]]:
        """Return which lines were measured at each slot."""
        found: dict[int, set[str]] = {}
        for one in self.samples:
            found.setdefault(one.slot_ms, set()).add(one.line)
        return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which time is ours, and no check sends anything."""
    world = World()

    class Checks:
        def __init__(self, line: Line, *, slack: Slack) -> None:
            self.line, self.slack = line, slack
            world.opened.append(line)

        async def run(
            self, check: Check, target: Target, family: int, *, timeout_s: float
        ) -> Outcome:
            world.timeouts_s.append(timeout_s)
            does = world.behave(self.line, check, target, family)
            if isinstance(does, Outcome):
                return does
            await does.wait()
            return ANSWERED

        async def close(self) -> None:
            world.closed.append(self.line)

    monkeypatch.setattr(sampler, "LineChecks", Checks)
    monkeypatch.setattr(sampler, "_sleep_until", world.sleep_until)
    monkeypatch.setattr(clock, "mono_ms", lambda: world.now_ms)
    return world


def sampler_of(
    world: World,
    *,
    targets: Sequence[Target] = TARGETS,
    allows: Callable[[str, Slot], bool] = lambda _, __: True,
    **changes: float,
) -> Sampler:
    """Return a sampler whose rounds of ten seconds have three slots, at 0, 3 and 6 s."""
    values = {"period_s": PERIOD_MS / 1000, "jitter_s": 0.0, "timeout_s": 1.0, "spread": 0.9}
    return Sampler(
        schedule=ScheduleConfig(**{**values, **changes}),
        targets=targets,
        on_sample=world.samples.append,
        on_missed=lambda from_ms, to_ms: world.missed.append((from_ms, to_ms)),
        is_busy=lambda line: line == B.id,
        pace=world.pace if world.paces else None,
        allows=allows,
        on_spent=lambda line, slot, count: world.spent.append(
            (line, slot.target.id, slot.check, count)
        ),
    )


@asynccontextmanager
async def running(made: Sampler, world: World, *lines: Line) -> AsyncIterator[None]:
    """Run the rounds until the last one of the test is over."""
    await made.set_lines(lines)
    task = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(120):
            await world.done.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_every_slot_is_the_same_instant_on_every_line(world: World) -> None:
    """Three slots a round; both families of the line that has both."""
    made = sampler_of(world)
    async with running(made, world, A, B):
        assert world.slots() == {
            at: {A.id, B.id} for at in (30_000, 33_000, 36_000, 40_000, 43_000, 46_000)
        }
        of_first = [s for s in world.samples if s.slot_ms == 30_000]
        assert [(s.line, s.family) for s in of_first] == [(A.id, 4), (A.id, 6), (B.id, 4)]
        assert {s.mono_ms for s in of_first} == {30_000}
        assert {s.round_ms for s in world.samples} == {30_000, 40_000}
        assert {s.busy for s in world.samples if s.line == B.id} == {True}
        assert made.line_bytes() == {A.id: (12 * 60, 12 * 40), B.id: (6 * 60, 6 * 40)}
        assert (made.state.rounds, made.state.missed, world.missed) == (2, 0, [])


async def test_one_check_that_fails_keeps_no_other_from_running(world: World) -> None:
    """A dark line is measured at every slot: the failures are the evidence."""
    world.behave = lambda line, *_: Outcome("host_unreachable") if line == B else ANSWERED
    async with running(sampler_of(world), world, A, B):
        dark = [s for s in world.samples if s.line == B.id]
        assert [s.failure for s in dark] == ["host_unreachable"] * 6
        assert len([s for s in world.samples if s.failure is None]) == 12


async def test_a_line_whose_device_went_stays_in_the_rounds(world: World) -> None:
    """Not listed any more, or listed without an address: both families go on being tried."""
    made = sampler_of(world)
    await made.set_lines([A, B])
    gone = replace(A, families=(), problems=(Problem("no_device", "gone"),))
    async with running(made, world, gone):
        assert {(s.line, s.family) for s in world.samples} == {(A.id, 4), (A.id, 6), (B.id, 4)}
        assert world.closed == [A]
        assert world.opened == [A, B, gone]


async def test_a_line_that_was_never_usable_waits_until_it_is(world: World) -> None:
    """Found without an address: nothing to measure with; found with one: measured."""
    broken = replace(B, families=(), problems=(Problem("no_address", "none"),))
    made = sampler_of(world)
    await made.set_lines([broken])
    assert made.line_bytes() == {}
    async with running(made, world, B):
        assert {s.line for s in world.samples} == {B.id}


async def test_a_line_that_did_not_change_keeps_its_sockets(world: World) -> None:
    """Looking again every ten seconds costs nothing."""
    made = sampler_of(world)
    for _ in range(3):
        await made.set_lines([A])
    assert (world.opened, world.closed) == ([A], [])


async def test_slow_checks_overlap_the_next_round(world: World) -> None:
    """A check that takes longer than the period delays no slot, and no other check."""
    answers = asyncio.Event()
    world.behave = lambda _line, _check, target, _: answers if target.id == "far" else ANSWERED
    made = sampler_of(world)
    async with running(made, world, A):
        assert {s.target for s in world.samples} == {"site"}
        assert made.safe_ms() == 36_000, "the first slow check has not ended"
        answers.set()
        async with asyncio.timeout(120):
            while len(world.samples) < 12:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert made.safe_ms() == world.now_ms
        assert {s.mono_ms for s in world.samples if s.target == "far"} == {36_000, 46_000}


async def test_a_check_that_hangs_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a timeout; neither the rounds nor `safe_ms` wait for it for ever."""
    monkeypatch.setattr(running_checks, "HANG_S", 0.0)
    never = asyncio.Event()
    world.behave = lambda _line, check, _, __: never if check is Check.ICMP else ANSWERED
    made = sampler_of(world, timeout_s=0.1)
    async with running(made, world, B):
        async with asyncio.timeout(120):
            while len(world.samples) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        hung = [s for s in world.samples if s.check is Check.ICMP]
        assert [s.failure for s in hung] == ["generic_timeout_error"] * 2
        assert made.safe_ms() == world.now_ms


async def test_rounds_that_never_ran_are_one_gap(world: World) -> None:
    """The loop was held up between two rounds, for three periods."""
    world.woken = {40_000: 75_000}
    world.rounds_left = 5
    made = sampler_of(world)
    async with running(made, world, B):
        assert world.missed == [(40_000, 70_000)]
        assert made.state.missed == 2
        assert set(world.slots()) == {30_000, 33_000, 36_000, 70_000, 73_000, 76_000}


async def test_a_sleep_within_a_round_runs_no_slot_hours_late(world: World) -> None:
    """Of the round that the machine slept in, the rest is missed, not measured in one burst."""
    world.woken = {33_000: 95_000}
    world.rounds_left = 7
    made = sampler_of(world)
    async with running(made, world, A):
        assert world.missed == [(33_000, 90_000)]
        assert set(world.slots()) == {30_000, 90_000, 93_000, 96_000}
        assert all(s.mono_ms - s.slot_ms < PERIOD_MS for s in world.samples)


async def test_a_bug_in_a_check_ends_the_rounds(world: World) -> None:
    """What no check may raise is a crash, not a silence."""

    def bug(*_: object) -> Outcome:
        raise ValueError("a bug")

    world.behave = bug
    made = sampler_of(world)
    await made.set_lines([B])
    with pytest.raises(ExceptionGroup) as caught:
        await made.run()
    assert caught.value.subgroup(ValueError) is not None


async def test_the_end_leaves_no_check_running(world: World) -> None:
    """Cancelled in the middle of checks, it ends, and makes no sample of what it cut short."""
    never = asyncio.Event()
    world.behave = lambda *_: never
    made = sampler_of(world)
    async with running(made, world, A):
        assert made.safe_ms() == 30_000
    assert world.samples == []
    assert made.safe_ms() == world.now_ms


async def test_an_empty_set_of_targets_or_lines_is_no_busy_loop(world: World) -> None:
    """Rounds go by without anything to do."""
    made = sampler_of(world)
    async with running(made, world):
        assert made.state.rounds == 2
        assert world.samples == []


USUAL = Pace(PERIOD_MS / 1000, 0.0, 1.0)
TIGHT = Pace(5.0, 0.0, 0.5, whole=True)


def every(rounds: int) -> list[Target]:
    """Return the targets, due in every n-th round only."""
    return [msgspec.structs.replace(target, every=rounds) for target in TARGETS]


async def test_another_period_is_another_grid(world: World) -> None:
    """From ten seconds to five and back: no round twice, none missed, none waited for too long."""
    world.paces = [USUAL, TIGHT, TIGHT, USUAL]
    world.rounds_left = 4
    made = sampler_of(world)
    async with running(made, world, B):
        begun = list(dict.fromkeys(s.round_ms for s in world.samples))
        assert begun == [30_000, 40_000, 45_000, 50_000, 60_000]
        of_third = [s.slot_ms for s in world.samples if s.round_ms == 45_000]
        assert of_third == [45_000, 46_500, 48_000], "a tight round's slots lie within it"
        assert world.timeouts_s == [1.0] * 3 + [0.5] * 6 + [1.0] * 6
        assert (made.state.missed, world.missed) == (0, [])


@pytest.mark.parametrize(("paces", "measured"), [([USUAL], [40_000]), ([TIGHT], [30_000])])
async def test_a_tight_round_leaves_nothing_out(
    world: World, paces: list[Pace], measured: list[int]
) -> None:
    """Targets of every fourth round are due in the fourth; on suspicion in each."""
    world.paces = [*paces, USUAL]
    async with running(sampler_of(world, targets=every(4)), world, B):
        assert {s.round_ms for s in world.samples} >= set(measured)
        at_30 = [s.target for s in world.samples if s.round_ms == 30_000]
        assert at_30 == (["site", "site", "far"] if 30_000 in measured else [])


async def test_what_is_asked_for_runs_once_in_the_next_round_on_that_line(world: World) -> None:
    """In the first family that both have; a line that is not there is not measured."""
    made = sampler_of(world)
    for line in (A.id, "gone-1"):
        made.ask(line, TARGETS[1], Check.TRACE)
    v6_only = Target(
        id="v6", role=Role.INTERNATIONAL, host="2001:db8::1", checks=(Check.ICMP,), families=(6,)
    )
    made.ask(B.id, v6_only, Check.TRACE)
    async with running(made, world, A, B):
        (asked,) = (one for one in world.samples if one.check is Check.TRACE)
        assert (asked.line, asked.target, asked.family) == (A.id, "far", 4)
        assert (asked.slot_ms, asked.round_ms) == (30_000, 30_000)
        assert (A.id, "far", Check.TRACE, 100) in world.spent
        assert len(world.samples) == 1 + 18


async def test_the_period_in_force_can_be_read(world: World) -> None:
    """Not the configured one: what the last round went by."""
    made = sampler_of(world)
    assert made.state.period_s is None
    world.paces = [Pace(10.0, 0.0, 1.0)]
    async with running(made, world, A):
        assert made.state.period_s == 10.0


async def test_a_round_with_nothing_due_takes_its_time(world: World) -> None:
    """The budget and the pace are asked anew once it began, not at once for all that follow."""
    world.paces = [USUAL]
    made = sampler_of(world, targets=every(4))
    async with running(made, world, B):
        assert world.paced_ms == [25_000, 30_000, 46_000]
        assert {s.round_ms for s in world.samples} == {40_000}
        assert (made.state.rounds, world.missed) == (1, [])


async def test_without_any_target_time_goes_by_too(world: World) -> None:
    """One question a round, and no check."""
    world.paces = [USUAL]
    async with running(sampler_of(world, targets=[]), world, B):
        assert world.paced_ms == [25_000, 30_000, 40_000]
        assert world.samples == []


async def test_a_sleep_in_a_round_with_nothing_due_is_told(world: World) -> None:
    """Also if the pace changed meanwhile, and with it the numbers of the rounds."""
    world.paces = [USUAL, TIGHT]
    world.woken = {30_000: 75_000}
    world.rounds_left = 6
    made = sampler_of(world, targets=every(100))
    async with running(made, world, B):
        assert world.missed == [(30_000, 80_000)]
        assert {s.round_ms for s in world.samples} == {80_000, 85_000}


async def test_a_line_that_may_not_take_a_slot_does_not(world: World) -> None:
    """It saves its data; the other line is measured at that slot all the same."""
    asked: list[tuple[str, str, int]] = []

    def allows(line: str, slot: Slot) -> bool:
        asked.append((line, slot.target.id, slot.turn))
        return line == A.id or slot.target.id != "far"

    async with running(sampler_of(world, allows=allows), world, A, B):
        assert [s.target for s in world.samples if s.line == B.id] == ["site"] * 4
        assert [s.target for s in world.samples if s.line == A.id].count("far") == 4
        assert asked.count((B.id, "far", 3)) == 1, "once a slot, for all its families"
        assert {turn for _, _, turn in asked} == {3, 4}


async def test_what_a_check_cost_is_told_both_ways(world: World) -> None:
    """Bytes out and in, of answers and of failures, to the line that spent them."""
    failed = Outcome("generic_timeout_error", bytes_out=60)
    world.behave = lambda _line, _check, target, _: failed if target.id == "far" else ANSWERED
    made = sampler_of(world)
    async with running(made, world, B):
        assert world.spent[:3] == [
            (B.id, "site", Check.ICMP, 100),
            (B.id, "site", Check.TCP, 100),
            (B.id, "far", Check.TCP, 60),
        ]
        told = sum(count for _, _, _, count in world.spent)
        assert told == sum(made.line_bytes()[B.id])


async def test_a_machine_wakes_by_the_boot_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real sleep ends at once when its time is past, and not before."""
    now = [1_000]
    monkeypatch.setattr(clock, "mono_ms", lambda: now[0])
    await sampler._sleep_until(900)
    waiting = asyncio.create_task(sampler._sleep_until(1_050))
    await asyncio.sleep(0)
    assert not waiting.done()
    await waiting
