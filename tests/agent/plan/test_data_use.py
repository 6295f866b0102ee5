"""The estimate of records a day and bytes a month, against the sizes in the documents."""

import pytest

from linewatch_agent.plan.check_cost import ICMP_BYTES, check_bytes
from linewatch_agent.plan.config import Config, load_config
from linewatch_agent.plan.data_use import advice, estimate, hold_days
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target, TargetSet

QUIET = load_config("[uplink]\nenabled = false", name="f.toml")
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))


def one(check: Check, url: str | None = None) -> Target:
    role = Role.PORTAL if check is Check.HTTP else Role.NEUTRAL
    return Target(id="a", role=role, host="a.example", checks=(check,), families=(4,), url=url)


def month_mb(*targets: Target, config: Config = QUIET) -> int:
    return round(estimate(config, targets, [MOBILE])["mobile-1"].bytes_per_month / 1e6)


def test_the_estimate_agrees_with_the_documented_sizes() -> None:
    """Per month, one target every 30 s: icmp 15 MB, dns 17, tcp 26, a plain 204 78."""
    assert month_mb(one(Check.ICMP)) == 15
    assert month_mb(one(Check.DNS)) == 17
    assert month_mb(one(Check.TCP)) == 26
    assert month_mb(one(Check.HTTP, url="http://a.example/")) == 78
    assert month_mb(config=load_config("[store]\nblock_s=3600\nlive_close_s=3600", name="f")) == 10


def test_releases_are_reckoned_where_they_come_from() -> None:
    """A look every six hours, 0.7 MB, and one release of 6.5; none where they may not come."""
    key = "a7" * 32
    update = f"[update]\nurl = 'https://a.example/manifest'\nkey = '{key}'\n"
    plain, over_all = Config(), load_config(update, name="f.toml")
    fixed_only = load_config(f"{update}lines = 'fixed'", name="f.toml")
    uses = [estimate(config, [], [MOBILE])["mobile-1"] for config in (plain, fixed_only, over_all)]
    without, never, with_one = (use.bytes_per_month for use in uses)
    assert without == never
    assert with_one - without == 120 * 6_000 + 6_500_000


def test_sending_every_minute_costs_more_than_an_idle_connection() -> None:
    """A segment and its ack a minute, and roll-ups every five: 60 MB and 12."""
    assert month_mb(config=Config()) == 73


def test_a_page_is_counted_as_far_as_it_may_be_read() -> None:
    """A page's length is unknown beforehand, so the read limit is what can be promised."""
    page = Target(id="a", role=Role.NEUTRAL, host="a.example", checks=(Check.HTTP,), families=(4,))
    assert month_mb(page) == 6146


def test_records_follow_families_and_period() -> None:
    """A record a check, family and round."""
    both = Target(id="a", role=Role.NEUTRAL, host="a.example", checks=(Check.ICMP, Check.TCP))
    line = Line("fixed-1", LineKind.FIXED, "eth0", families=(4, 6))
    assert estimate(Config(), [both], [line])["fixed-1"].records_per_day == 4 * 2880
    minutely = load_config("[schedule]\nperiod_s = 60", name="f.toml")
    assert estimate(minutely, [both], [line])["fixed-1"].records_per_day == 4 * 1440


def test_the_gateway_costs_records_but_no_data() -> None:
    """Its check never leaves the home."""
    chosen = resolve_targets(QUIET, [TargetSet(target=())])[:1]
    use = estimate(QUIET, chosen, [MOBILE])["mobile-1"]
    assert (use.records_per_day, use.bytes_per_month) == (2880, 0)


def test_a_line_not_yet_up_is_counted_as_ipv4() -> None:
    """A modem that is still searching is estimated all the same."""
    down = Line("mobile-1", LineKind.MOBILE, "wwan0")
    use = estimate(QUIET, [one(Check.ICMP)], [down])["mobile-1"]
    assert use.records_per_day == 2880


def test_a_seldom_target_costs_its_share() -> None:
    """A target of every tenth round costs a tenth, in records too."""
    seldom = Target(id="a", role=Role.NEUTRAL, host="a.a", checks=(Check.TCP,), every=10)
    use = estimate(QUIET, [seldom], [MOBILE])["mobile-1"]
    assert (use.records_per_day, use.bytes_per_month) == (288, 86_400 * 300 // 10)


@pytest.mark.parametrize("check", Check)
def test_every_check_has_a_cost(check: Check) -> None:
    """A check that cost nothing would be run without end."""
    assert check_bytes(check, one(check)) >= ICMP_BYTES


def test_what_a_line_holds_back_is_told_beforehand() -> None:
    """A plan above the budget isn't wrong: the note says what the line will do less of."""
    tiny = load_config("[budget]\nmonth_mb = 30\nlines = 'mobile'", name="f.toml")
    page = [one(Check.TCP), Target(id="b", role=Role.NEUTRAL, host="b.a", checks=(Check.HTTP,))]
    fixed = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
    (said,) = advice(tiny, page, [MOBILE, fixed])
    assert said == (
        "line mobile-1 would use up to 6,246 MB a month; to stay within 30 MB it does less: "
        "small checks of other targets 1/4 as often, no http checks, sending 1/8 as often"
    )
    assert not advice(Config(), [one(Check.ICMP)], [MOBILE, fixed])


def test_a_plan_that_no_budget_can_carry_is_told() -> None:
    """The least that a line is measured can be more than its budget."""
    tiny = load_config("[budget]\nmonth_mb = 10", name="f.toml")
    role = Role.DOMESTIC
    many = [Target(id=f"t{n}", role=role, host="a.a", checks=(Check.TCP,)) for n in range(20)]
    said = advice(tiny, many, [MOBILE])
    assert said[1].startswith("line mobile-1 can't stay within 10 MB a month: raise budget.month_")


def test_a_store_too_small_for_a_long_outage_is_warned_of() -> None:
    """Ninety days without a server is what the store is for."""
    text = "[schedule]\nperiod_s=1\njitter_s=0\ntimeout_s=0.5\n[budget]\nlines='mobile'"
    config = load_config(text, name="f.toml")
    many = [
        Target(id=f"t{n}", role=Role.NEUTRAL, host="a.a", checks=(Check.ICMP,)) for n in range(20)
    ]
    fixed = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
    (said,) = advice(config, many, [fixed])
    assert said.startswith("the store would hold only 51 days of records")


HOUR_TARGET = Target(
    id="a", role=Role.NEUTRAL, host="a.example", checks=(Check.ICMP,), families=(4,)
)
DAY_BYTES = 2880 * 6


def days(*, used: int = 0, backlog: int = 0, free: int = 10**12, lines: int = 1) -> int | None:
    """Return how many days a store of 16 MiB holds one check every 30 s."""
    config = load_config("[store]\nmax_bytes = 16_777_216", name="f.toml")
    return hold_days(
        config, [HOUR_TARGET], [MOBILE] * lines, used_bytes=used, backlog=backlog, free_bytes=free
    )


def test_how_long_the_store_can_take_all() -> None:
    """What the server has counts for nothing; what it lacks takes room."""
    assert days() == days(used=10**7) == 16 * 1024 * 1024 // DAY_BYTES
    assert days(backlog=2880 * 100) == 16 * 1024 * 1024 // DAY_BYTES - 100
    assert days(backlog=10**9) == 0


def test_the_disk_may_have_less_room_than_the_store_is_allowed() -> None:
    """What must stay free of it is not counted."""
    reserve = 64 * 1024 * 1024
    assert days(free=reserve + 10 * DAY_BYTES) == 10
    assert days(free=reserve + 10 * DAY_BYTES, used=5 * DAY_BYTES) == 15
    assert days(free=0) == 0


def test_without_lines_nothing_fills_the_store() -> None:
    """No number is better than a wrong one."""
    assert days(lines=0) is None
