"""What a line can afford: the ladder, and whole months of rounds against their budget."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch_agent.plan.budget import (
    EVERYTHING,
    FULL,
    LADDER,
    Allowance,
    Load,
    allowance,
    fitting,
    month_cap_bytes,
    with_profile,
)
from linewatch_agent.plan.check_cost import check_bytes
from linewatch_agent.plan.config import Config, load_config
from linewatch_agent.plan.ledger import (
    DAY_MS,
    LineLedger,
    Purpose,
    advance,
    decode_ledgers,
    encode_ledgers,
    purpose_of,
    spend,
)
from linewatch_agent.plan.load import load_of
from linewatch_agent.plan.schedule import Slot, plan_round
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval

UNKNOWN = Interval(None, None)

HOURLY = load_config("[schedule]\nperiod_s = 3600\n[uplink]\nenabled = false", name="f.toml")


def target(name: str, role: Role, *checks: Check, every: int = 1) -> Target:
    """Return a target."""
    return Target(id=name, role=role, host="a.example", checks=checks, every=every, families=(4,))


def slot(role: Role, check: Check, turn: int) -> Slot:
    """Return the turn of a check."""
    return Slot(0, 0, target("x", role, check), check, turn)


def test_the_ladder_gives_up_one_thing_at_a_time() -> None:
    """Each step slows one purpose, by two or to nothing."""
    assert LADDER[0] == FULL
    for before, after in pairwise(LADDER):
        ((purpose, stride),) = after.items() - before.items()
        was = before[purpose]
        assert was is not None
        assert stride is None or stride == 2 * was


def test_the_ladder_gives_up_in_the_promised_order() -> None:
    """Throughput ends before http is touched, http before any small check, vital ones last."""
    for step in LADDER:
        if step[Purpose.HTTP] != 1:
            assert step[Purpose.GOODPUT] is None
        if step[Purpose.LIGHT] != 1:
            assert step[Purpose.HTTP] is None
        if step[Purpose.VITAL] != 1:
            assert step[Purpose.LIGHT] not in (1, 2)


def test_what_a_verdict_needs_is_never_stopped() -> None:
    """On no step do vital checks or sending end."""
    assert all(step[Purpose.VITAL] and step[Purpose.UPLINK] for step in LADDER)
    assert LADDER[-1][Purpose.VITAL] == 16


def test_what_is_measured_seldom_is_measured_beside_the_rest() -> None:
    """Strides are powers of two: turns of a longer one are turns of every shorter one."""
    found = {stride for step in LADDER for stride in step.values() if stride}
    assert all(stride & (stride - 1) == 0 for stride in found)


def test_a_slot_is_allowed_in_its_turn() -> None:
    """The last step: vital checks every 16th turn, pages never, the gateway always."""
    least = fitting(Load(), bytes_per_s=-1.0)
    assert least.strides == LADDER[-1]
    vital = [n for n in range(64) if least.allows(slot(Role.DOMESTIC, Check.TCP, n))]
    assert vital == [0, 16, 32, 48]
    assert not any(least.allows(slot(Role.DOMESTIC, Check.HTTP, n)) for n in range(64))
    assert all(least.allows(slot(Role.GATEWAY, Check.ICMP, n)) for n in range(64))
    assert all(EVERYTHING.allows(slot(Role.DOMESTIC, Check.HTTP, n)) for n in range(64))


def test_a_slower_line_measures_a_part_of_what_a_faster_one_does() -> None:
    """So that what it did measure can be compared, round by round."""
    targets = [
        target("a", Role.DOMESTIC, Check.TCP),
        target("b", Role.SENSITIVE, Check.DNS, every=5),
        target("c", Role.NEUTRAL, Check.HTTP, every=3),
    ]
    slots = [
        one
        for number in range(480)
        for one in plan_round(targets, round_ms=0, period_ms=1000, spread=1, number=number)
    ]
    before = [one for one in slots if EVERYTHING.allows(one)]
    assert before == slots
    for cost in (30.0, 20.0, 10.0, 3.0, 1.0, 0.1):
        load = Load(dict.fromkeys((Purpose.VITAL, Purpose.LIGHT, Purpose.HTTP), 10.0))
        held = fitting(load, bytes_per_s=cost)
        after = [one for one in slots if held.allows(one)]
        assert {id(one) for one in after} <= {id(one) for one in before}
        before = after


def test_tight_rounds_are_thinned_too_but_for_the_anchors() -> None:
    """What dates a change is measured in each of them, whatever the month has left."""
    targets = [
        target("a", Role.DOMESTIC, Check.TCP),
        target("b", Role.INTERNATIONAL, Check.ICMP),
        target("c", Role.SENSITIVE, Check.TCP, every=10),
        target("d", Role.SENSITIVE, Check.SNI, every=40),
        target("e", Role.INTERNATIONAL, Check.THROUGHPUT, every=30),
    ]
    taken = {
        step: Counter(
            one.target.id
            for number in range(192, 384)
            for one in plan_round(
                targets, round_ms=0, period_ms=5000, spread=1, number=number, tight=True
            )
            if Allowance(step, LADDER[step]).allows(one)
        )
        for step in (0, 11, len(LADDER) - 1)
    }
    assert taken[0] == {"a": 192, "b": 192, "c": 192, "d": 32, "e": 32}
    assert taken[11] == {"a": 192, "b": 192, "c": 192, "d": 4}
    assert taken[len(LADDER) - 1] == {"a": 192, "b": 192, "c": 6}


LOADS = st.builds(
    Load,
    checks=st.dictionaries(
        st.sampled_from([p for p in Purpose if p is not Purpose.UPLINK]), st.floats(0, 1e5)
    ),
    sends=st.floats(0, 1e3),
    rolls=st.floats(0, 1e2),
    hold_max=st.floats(1, 16),
    idle=st.floats(0, 10),
    idle_saved=st.floats(0, 0.2),
    round_bytes=st.integers(0, 10**6),
)


@given(LOADS, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 29 * DAY_MS))
def test_who_spent_more_never_gets_more(load: Load, less: int, more: int, into_ms: int) -> None:
    """At one moment of the month: the more is spent, the higher the step."""
    less, more = sorted((less, more))
    steps = [
        allowance(
            LineLedger(into_ms=into_ms, spent={Purpose.HTTP: spent}), load, cap_bytes=5 * 10**8
        ).step
        for spent in (less, more)
    ]
    assert steps == sorted(steps)


@given(LOADS, st.floats(0, 1e5))
def test_the_step_taken_fits_or_is_the_last(load: Load, bytes_per_s: float) -> None:
    """And the step before it didn't fit: nothing is given up without need."""
    held = fitting(load, bytes_per_s=bytes_per_s)
    assert load.at(held.strides) <= bytes_per_s or held.step == len(LADDER) - 1
    if held.step:
        assert load.at(LADDER[held.step - 1]) > bytes_per_s


def test_a_new_month_brings_everything_back() -> None:
    """A line that spent all of its month is on the last step, and at its end on the first."""
    load = Load({Purpose.VITAL: 10.0, Purpose.HTTP: 10.0})
    cap = 60_000_000
    ledger = LineLedger(into_ms=20 * DAY_MS, spent={Purpose.UPLINK: cap})
    assert allowance(ledger, load, cap_bytes=cap).step == len(LADDER) - 1
    ledger = advance(ledger, elapsed_ms=10 * DAY_MS, utc=UNKNOWN)
    assert allowance(ledger, load, cap_bytes=cap) == EVERYTHING


@dataclass(frozen=True, slots=True)
class Month:
    """How a simulated month ended."""

    spent_bytes: int
    vital_run: int
    highest_step: int


TARGETS = st.lists(
    st.tuples(
        st.sampled_from([Role.DOMESTIC, Role.INTERNATIONAL, Role.NEUTRAL, Role.PORTAL]),
        st.sampled_from([Check.ICMP, Check.TCP, Check.DNS, Check.HTTP, Check.THROUGHPUT]),
        st.sampled_from([1, 2, 5, 10]),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda rows: [
        target(f"t{n}", role, check, every=every) for n, (role, check, every) in enumerate(rows)
    ]
)


def run_month(
    targets: list[Target], *, cap: int, first_number: int, share: float, restarts: set[int]
) -> Month:
    """Measure for 30 days of hourly rounds; every check costs `share` of its estimate."""
    load = load_of(HOURLY, targets, (4,))
    ledger, vital, highest = LineLedger(), 0, 0
    for number in range(first_number, first_number + 30 * 24):
        held = allowance(ledger, load, cap_bytes=cap)
        highest = max(highest, held.step)
        for one in plan_round(targets, round_ms=0, period_ms=1000, spread=1, number=number):
            if held.allows(one):
                purpose = purpose_of(one.check, one.target.role)
                vital += purpose is Purpose.VITAL
                cost = int(check_bytes(one.check, one.target) * share)
                ledger = spend(ledger, purpose, cost)
        if number != first_number + 30 * 24 - 1:
            ledger = advance(ledger, elapsed_ms=3_600_000, utc=UNKNOWN)
        if number in restarts:
            ledger = decode_ledgers(encode_ledgers({"line": ledger}))["line"]
    return Month(ledger.spent_bytes, vital, highest)


@settings(max_examples=25, deadline=None)
@given(
    TARGETS,
    st.floats(0.05, 1.5),
    st.integers(0, 500),
    st.floats(0.3, 1.15),
    st.sets(st.integers(0, 1200)),
)
def test_a_month_never_exceeds_its_budget_by_more_than_a_round(
    targets: list[Target], scarcity: float, first_number: int, share: float, restarts: set[int]
) -> None:
    """Any targets, any start, any real cost up to 15 % above the estimate, any restarts."""
    load = load_of(HOURLY, targets, (4,))
    least = max(1.0, share) * load.at(LADDER[-1]) * 30 * 86_400
    cap = int(max(least, load.at(FULL) * 30 * 86_400 * scarcity))
    month = run_month(targets, cap=cap, first_number=first_number, share=share, restarts=restarts)
    assert month.spent_bytes <= cap + max(1.0, share) * load.round_bytes


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 500), st.integers(0, 100))
def test_a_budget_too_small_still_measures_what_a_verdict_needs(first: int, cap: int) -> None:
    """With next to no data, each vital check runs every 16th turn, the whole month."""
    targets = [target("a", Role.DOMESTIC, Check.TCP), target("b", Role.DOMESTIC, Check.HTTP)]
    month = run_month(targets, cap=cap, first_number=first, share=1, restarts=set())
    assert month.vital_run == 30 * 24 // 16
    assert month.highest_step == len(LADDER) - 1


def test_a_budget_that_is_ample_holds_nothing_back() -> None:
    """Every check runs in every round."""
    targets = [target("a", Role.DOMESTIC, Check.TCP), target("b", Role.DOMESTIC, Check.HTTP)]
    month = run_month(targets, cap=10**9, first_number=7, share=1, restarts=set())
    assert (month.vital_run, month.highest_step) == (720, 0)


def test_pages_never_slow_what_a_verdict_needs() -> None:
    """However long pages are, they end before a small check waits."""
    targets = [target("a", Role.DOMESTIC, Check.TCP)]
    pages = [target(f"p{n}", Role.DOMESTIC, Check.HTTP) for n in range(10)]
    cap = 720 * 310 + 2 * load_of(HOURLY, targets + pages, (4,)).round_bytes
    month = run_month(targets + pages, cap=cap, first_number=0, share=1, restarts=set())
    assert month.vital_run == 720


def test_sending_waits_only_as_long_as_a_block_may_stay_open() -> None:
    """A longer wait would save nothing, since a block is closed after `block_s`."""
    load = Load(sends=100.0, hold_max=2.0)
    at = {hold: load.at({**FULL, Purpose.UPLINK: hold}) for hold in (1, 2, 8)}
    assert at == {1: 100.0, 2: 50.0, 8: 50.0}


def test_the_frugal_profile_lowers_and_never_raises() -> None:
    """30 MB, seldom sends; a file that asks for less gets less."""
    frugal = with_profile(load_config("[budget]\nprofile = 'frugal'", name="f.toml"))
    assert frugal.budget.month_mb == 30
    assert (frugal.store.live_close_s, frugal.store.block_s) == (900.0, 900.0)
    assert frugal.uplink.keepalive_s == 300
    text = "[budget]\nprofile = 'frugal'\nmonth_mb = 12\n[uplink]\nkeepalive_s = 900"
    less = with_profile(load_config(text, name="f.toml"))
    assert (less.budget.month_mb, less.uplink.keepalive_s) == (12, 900)
    assert with_profile(Config()) == Config()


def test_the_budget_can_be_for_mobile_lines_only() -> None:
    """A fixed line without a volume limit then has none."""
    mobile = load_config("[budget]\nlines = 'mobile'\nmonth_mb = 200", name="f.toml")
    assert month_cap_bytes(mobile, LineKind.MOBILE) == 200_000_000
    assert month_cap_bytes(mobile, LineKind.FIXED) is None
    assert month_cap_bytes(Config(), LineKind.FIXED) == 150_000_000


@pytest.mark.parametrize("every", [1, 10])
def test_the_load_is_what_full_months_cost(every: int) -> None:
    """The estimate and the rounds agree: what is reckoned is what is run."""
    targets = [target("a", Role.DOMESTIC, Check.TCP, Check.ICMP, every=every)]
    load = load_of(HOURLY, targets, (4,))
    month = run_month(targets, cap=10**9, first_number=0, share=1, restarts=set())
    assert month.spent_bytes == round(load.at(FULL) * 30 * 86_400)
