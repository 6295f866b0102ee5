"""The meter: what each line spent, what it may still take, and what a restart remembers."""

from dataclasses import replace

import msgspec
import pytest
from structlog.testing import capture_logs

from linewatch_agent.meter import Meter
from linewatch_agent.plan.budget import LADDER, month_cap_bytes, with_profile
from linewatch_agent.plan.config import Config
from linewatch_agent.plan.ledger import DAY_MS, LineLedger, Purpose
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.load import load_of
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.settings import BudgetConfig
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval

FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
NEAR = Target(id="near", role=Role.DOMESTIC, host="a.example", checks=(Check.TCP,), families=(4,))
BULK = Target(
    id="bulk",
    role=Role.INTERNATIONAL,
    host="b.example",
    checks=(Check.THROUGHPUT,),
    url="https://b.example/",
    families=(4,),
    every=120,
)
TARGETS = (NEAR, BULK)
CONFIG = Config(budget=BudgetConfig(month_mb=1000))
FRUGAL = with_profile(Config(budget=BudgetConfig(profile="frugal")))
MAY_MS = 1_777_593_600_000
"""2026-05-01 00:00 UTC."""
NO_DATE = Interval(None, None)


def meter(config: Config = CONFIG, kept: bytes | None = None) -> Meter:
    """Return a meter of two targets."""
    return Meter(config, TARGETS, kept)


def begin(made: Meter, *lines: Line, now_ms: int = 0, utc: Interval = NO_DATE) -> None:
    """Begin a round at that moment."""
    made.begin_round(lines or (FIXED,), now_ms=now_ms, utc=utc)


def on(day: float) -> Interval:
    """Return a day of May as a time known to a second; 0 is its first moment."""
    at_ms = MAY_MS + int(day * DAY_MS)
    return Interval(at_ms, at_ms + 1_000)


def slot(target: Target, turn: int) -> Slot:
    """Return the turn of a target's one check."""
    return Slot(0, 0, target, target.checks[0], turn)


def taken(made: Meter, line: Line, target: Target) -> int:
    """Return how many of 64 turns the line takes."""
    return sum(made.allows(line.id, slot(target, turn)) for turn in range(64))


def test_a_line_with_a_whole_month_of_data_takes_everything() -> None:
    """Nothing spent: step 0, every turn of every target."""
    made = meter()
    begin(made)
    assert made.allowance(FIXED.id).step == 0
    assert [taken(made, FIXED, target) for target in TARGETS] == [64, 64]


def test_a_line_is_measured_fully_before_its_first_round_was_reckoned() -> None:
    """A line that nobody has told the meter of is not held back."""
    assert taken(meter(), MOBILE, BULK) == 64


def test_what_checks_cost_leaves_less_for_the_rest_of_the_month() -> None:
    """Most of the month's data spent: bulk stops, what a verdict needs is only slowed."""
    made = meter()
    begin(made)
    made.spend(FIXED.id, Check.THROUGHPUT, Role.INTERNATIONAL, 999_000_000)
    begin(made, now_ms=30_000)
    assert made.allowance(FIXED.id).step > 0
    assert taken(made, FIXED, BULK) == 0
    assert 0 < taken(made, FIXED, NEAR) < 64


def test_a_month_that_is_overspent_still_measures_what_a_verdict_needs() -> None:
    """The last step of the ladder: vital checks every 16th turn."""
    made = meter()
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 10**12)
    begin(made)
    assert made.allowance(FIXED.id).step == len(LADDER) - 1
    assert taken(made, FIXED, NEAR) == 4


def test_the_uplink_counts_as_checks_do() -> None:
    """Bytes of the sync are of the same month, and make the uplink send more seldom."""
    made = meter()
    made.spend_uplink(FIXED.id, 999_000_000)
    begin(made)
    assert made.ledger(FIXED.id).spent == {Purpose.UPLINK: 999_000_000}
    assert made.allowance(FIXED.id).uplink_stride > 1


def test_the_gateway_costs_no_data() -> None:
    """What never leaves the home is not counted."""
    made = meter()
    made.spend(FIXED.id, Check.ICMP, Role.GATEWAY, 10**12)
    assert made.ledger(FIXED.id).spent_bytes == 0


def test_one_line_s_data_is_not_another_s() -> None:
    """A spent mobile line leaves the fixed one as it was."""
    made = meter()
    made.spend(MOBILE.id, Check.TCP, Role.DOMESTIC, 10**12)
    begin(made, FIXED, MOBILE)
    assert taken(made, FIXED, NEAR) == 64
    assert taken(made, MOBILE, NEAR) == 4


def test_a_budget_for_mobile_lines_holds_no_other_back() -> None:
    """`lines = "mobile"`: the fixed line is counted, and takes everything."""
    made = meter(Config(budget=BudgetConfig(lines="mobile")))
    for line in (FIXED, MOBILE):
        made.spend(line.id, Check.TCP, Role.DOMESTIC, 10**12)
    begin(made, FIXED, MOBILE)
    assert [made.allowance(line.id).step for line in (FIXED, MOBILE)] == [0, len(LADDER) - 1]
    assert made.ledger(FIXED.id).spent_bytes == 10**12


def test_a_new_month_begins_with_all_of_its_data() -> None:
    """Overspent in May, everything again with the first round of June."""
    made = meter()
    begin(made, utc=on(30.9))
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 10**12)
    begin(made, now_ms=30_000, utc=on(30.95))
    assert taken(made, FIXED, NEAR) == 4
    begin(made, now_ms=60_000, utc=on(31))
    assert made.ledger(FIXED.id).spent_bytes == 0
    assert taken(made, FIXED, NEAR) == 64


def test_without_a_date_a_month_is_thirty_days_of_running() -> None:
    """Only the time between rounds counts, not the boot's clock at the first of them."""
    made = meter()
    begin(made, now_ms=20 * DAY_MS)
    assert made.ledger(FIXED.id).into_ms == 0
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 1_000)
    begin(made, now_ms=49 * DAY_MS)
    assert (made.ledger(FIXED.id).into_ms, made.ledger(FIXED.id).spent_bytes) == (29 * DAY_MS, 1000)
    begin(made, now_ms=50 * DAY_MS)
    assert made.ledger(FIXED.id) == LineLedger()


def test_a_restart_goes_on_where_it_was() -> None:
    """What was exported is spent after it too; the new boot's clock adds nothing."""
    before = meter()
    begin(before, FIXED, MOBILE, now_ms=1_000)
    begin(before, FIXED, MOBILE, now_ms=61_000)
    before.spend(MOBILE.id, Check.TCP, Role.DOMESTIC, 10**12)
    after = meter(kept=before.export())
    begin(after, FIXED, MOBILE, now_ms=5)
    assert [after.ledger(line.id) for line in (FIXED, MOBILE)] == [
        LineLedger(into_ms=60_000),
        LineLedger(into_ms=60_000, spent={Purpose.VITAL: 10**12}),
    ]
    assert taken(after, MOBILE, NEAR) == 4


def test_what_is_kept_are_sums_per_line_and_month() -> None:
    """No target, no check, no outcome and no moment of a measurement is among it."""
    made = meter()
    begin(made, utc=on(3))
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 300)
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 300)
    kept = msgspec.json.decode(made.export())
    assert set(kept) == {FIXED.id}
    assert set(kept[FIXED.id]) == {"month", "into_ms", "spent"}
    assert kept[FIXED.id]["spent"] == {"vital": 600}


@pytest.mark.parametrize("kept", [b"", b"null", b"[]", b'{"a": {"into_ms": -1}}', b"\xff\x00"])
def test_a_damaged_ledger_is_told_and_begins_anew(kept: bytes) -> None:
    """Measuring goes on: it is a log line, never an error."""
    with capture_logs() as logs:
        made = meter(kept=kept)
    assert [entry["event"] for entry in logs] == ["ledger_lost"]
    begin(made)
    assert taken(made, FIXED, NEAR) == 64


def test_a_change_of_step_is_told_once() -> None:
    """One line when a line begins to save, none while it goes on so."""
    made = meter()
    begin(made)
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 10**12)
    with capture_logs() as logs:
        begin(made, now_ms=30_000)
        begin(made, now_ms=60_000)
    assert [(entry["event"], entry["line"]) for entry in logs] == [
        ("budget_step_changed", FIXED.id)
    ]


def test_a_line_without_an_address_keeps_its_ledger() -> None:
    """A modem that lost its session is the same line with the same month."""
    made = meter()
    begin(made, MOBILE)
    made.spend(MOBILE.id, Check.TCP, Role.DOMESTIC, 10**12)
    begin(made, replace(MOBILE, families=()), now_ms=30_000)
    assert taken(made, MOBILE, NEAR) == 4


def test_a_step_is_told_when_it_changes_and_only_then() -> None:
    """With the line that changed it; at the first round too, if it does not begin with all."""
    told: list[tuple[str, int]] = []
    made = Meter(CONFIG, TARGETS, None, on_step=lambda line, step: told.append((line, step)))
    begin(made, FIXED, MOBILE)
    assert told == []
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 990_000_000)
    begin(made, FIXED, MOBILE, now_ms=30_000)
    begin(made, FIXED, MOBILE, now_ms=60_000)
    assert told == [(FIXED.id, made.allowance(FIXED.id).step)]
    assert told[0][1] > 0


def test_what_a_month_affords_ends_with_its_budget() -> None:
    """To the byte; a line without a budget affords everything."""
    made = meter()
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 999_999_000)
    assert made.affords(FIXED, 1000)
    assert not made.affords(FIXED, 1001)
    free = meter(Config(budget=BudgetConfig(month_mb=10, lines="mobile")))
    assert free.affords(FIXED, 10**12)
    assert not free.affords(MOBILE, 10**12)


CONNECTION = (9_000, 5_000)
"""What a connection costs: until the broker's welcome, and until the first ack."""
HOUR_MS = 3_600_000


def a_month_cut_off(config: Config, *, every_s: float) -> tuple[Meter, int, int]:
    """Return the meter after a month in which each connection is cut, how many there were, its cap.

    The line measures as much as it may; whenever it may, it connects `every_s` seconds after
    the last time.
    """
    made, connections = meter(config), 0
    load = load_of(config, TARGETS, FIXED.families)
    cap = month_cap_bytes(config, FIXED.kind) or 0
    for hour in range(30 * 24):
        begin(made, now_ms=hour * HOUR_MS)
        made.spend_uplink(FIXED.id, int(3600 * load.at(made.allowance(FIXED.id).strides)))
        for _ in range(int(3600 / every_s)):
            if made.may_connect(FIXED.id):
                connections += 1
                made.spend_uplink(FIXED.id, CONNECTION[0], opening=True)
                made.spend_uplink(FIXED.id, CONNECTION[1])
    return made, connections, cap


@pytest.mark.parametrize("config", [Config(), FRUGAL])
@pytest.mark.parametrize("every_s", [60, 300, 900])
def test_a_month_holds_however_often_connections_are_cut(config: Config, every_s: float) -> None:
    """Each counts; where they are too many they wait, and the line is measured to the end."""
    made, connections, cap = a_month_cut_off(config, every_s=every_s)
    assert made.ledger(FIXED.id).spent_bytes <= cap
    assert connections >= min(30 * 24 * 3600 // every_s, 400)
    assert taken(made, FIXED, NEAR) > 0


def test_fifty_connections_a_day_never_wait() -> None:
    """They only leave less for the checks: 20 MB of 150."""
    made, connections, cap = a_month_cut_off(Config(), every_s=1800)
    assert connections == 30 * 48
    assert made.ledger(FIXED.id).spent_bytes <= cap


def test_a_spent_month_still_connects_now_and_then() -> None:
    """Some four times a day: what has happened is told whatever the budget says."""
    made = meter()
    begin(made)
    made.spend_uplink(FIXED.id, 10**12, opening=True)
    assert not made.may_connect(FIXED.id)
    made = meter()
    made.spend(FIXED.id, Check.TCP, Role.DOMESTIC, 10**12)
    connections = 0
    for minute in range(10 * 24 * 60):
        begin(made, now_ms=minute * 60_000)
        if made.may_connect(FIXED.id):
            connections += 1
            made.spend_uplink(FIXED.id, CONNECTION[0], opening=True)
    assert 10 * 4 <= connections <= 10 * 10 + 50


def test_a_line_that_is_back_may_tell_so() -> None:
    """Whatever connecting has cost; but once an hour, or a line that flaps would have no cap."""
    made = meter(FRUGAL)
    begin(made)
    made.is_back("another", 0)
    for came_ms, may in ((0, True), (HOUR_MS - 1, False), (HOUR_MS, True)):
        made.spend_uplink(FIXED.id, 10**6, opening=True)
        assert not made.may_connect(FIXED.id)
        made.is_back(FIXED.id, came_ms)
        assert made.may_connect(FIXED.id) is may
        if may:
            made.spend_uplink(FIXED.id, 2 * CONNECTION[0], opening=True)
            assert made.may_connect(FIXED.id)


def test_a_line_without_a_budget_connects_as_it_likes() -> None:
    """However often."""
    free = meter(Config(budget=BudgetConfig(lines="mobile")))
    begin(free)
    free.spend_uplink(FIXED.id, 10**12, opening=True)
    assert free.may_connect(FIXED.id)
