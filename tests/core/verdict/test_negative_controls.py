"""Step tables of what must not be told: each innocent cause, and the verdicts it never makes."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from linewatch_core.records import Check, Role
from linewatch_core.verdict import LineVerdict, Seen
from tests.core.verdict.scenes import (
    ABROAD,
    CUT,
    INTL_CUT,
    TIMEOUT,
    UP,
    Look,
    Probe,
    Sight,
    Step,
    mobile,
)

OK = {"fixed": "ok", "sim": "ok"}
BOTH_UP = {"fixed": UP, "sim": mobile()}
START = Step(BOTH_UP, OK, told=["fixed: unknown > ok", "sim: unknown > ok"])


def _without_address(one: Seen) -> Seen:
    sample = msgspec.structs.replace(one.sample, address=None, family=0)
    return msgspec.structs.replace(one, sample=sample)


@pytest.mark.parametrize("down", ABROAD)
def test_one_anchor_down_changes_nothing(down: str) -> None:
    """A host abroad that fails on every line leaves both ok."""
    rest = Look(abroad=[host for host in ABROAD if host != down])
    Probe().walk([START, Step({"fixed": rest, "sim": mobile(rest)}, OK, 20)])


def test_one_company_down_changes_nothing() -> None:
    """Half of the hosts abroad and two at home silent is an outage of theirs."""
    rest = Look(abroad=3, domestic=3)
    Probe().walk([START, Step({"fixed": rest, "sim": mobile(rest)}, OK, 20)])


def test_icmp_filtered_everywhere_is_no_allow_list_and_no_cut() -> None:
    """Where one protocol is filtered the others still answer: ok by half of the hosts."""
    no_icmp = replace(UP, icmp=False)
    Probe().walk([START, Step({"fixed": no_icmp, "sim": mobile()}, OK, 20)])


def test_silence_abroad_by_one_protocol_is_no_cut() -> None:
    """If only TCP was tried abroad, TCP may be what is filtered."""
    probe = Probe()
    probe.run({"fixed": UP})
    told = []
    for _ in range(3):
        made = probe.round({"fixed": INTL_CUT})
        kept = tuple(
            one
            for one in made.samples
            if one.sample.target in ("i0", "i2", "i4") or one.sample.target.startswith("d")
        )
        told += probe.machine.handle(replace(made, samples=kept))
    assert [one.after for one in told] == ["unknown"]


def test_udp_filtered_is_no_cut() -> None:
    """The silence of the outside resolver alone is nobody's outage."""
    Probe().walk([START, Step({"fixed": replace(UP, udp=False), "sim": mobile()}, OK, 20)])


def test_two_bad_rounds_change_nothing() -> None:
    """A hiccup of two rounds is below the hold, as often as it comes."""
    hiccup = [
        Step({"fixed": CUT, "sim": mobile(CUT)}, OK, 2),
        Step(BOTH_UP, OK, 2),
    ]
    Probe().walk([START, *(hiccup * 5)])


def test_heavy_random_loss_is_no_allow_list() -> None:
    """Another few hosts each round are loss, not a list: in the end nothing is known."""
    probe = Probe()
    probe.run({"fixed": UP})
    told = []
    for start in range(12):
        few = Look(
            domestic=[f"d{start % 5}"],
            abroad=[f"i{(2 * start) % 6}", f"i{(2 * start + 1) % 6}"],
            udp=False,
        )
        told += probe.run({"fixed": few}, rounds=1)
    assert [one.after for one in told] == ["unknown"]
    assert told[0].rule == "unsettled"


def test_an_unpaid_sim_is_no_shutdown() -> None:
    """An unpaid SIM, with the fixed line dead at the same time, is a portal and a dead line."""
    unpaid = mobile(CUT, portals=("pay.example", "pay.example"), random_resolves=True)
    told = ["fixed: ok > line_dead", "sim: ok > portal"]
    says = {"fixed": "line_dead", "sim": "portal"}
    Probe().walk([START, Step({"fixed": CUT, "sim": unpaid}, says, 20, told)])


def test_a_hotel_page_is_no_interception_and_no_block() -> None:
    """A hotel answers every name and every TLS host itself: portal, and targets unknown."""
    sights = tuple(
        Sight(target, Check.HTTP, "ssl_unknown_authority", None, address, (0, 9_000, 9_000))
        for target, address in (("news", "10.0.0.1"), ("cats", "10.9.0.1"))
    )
    hotel = Look(portals=("hotel.example",) * 3, random_resolves=True, sights=sights)
    probe = Probe()
    assert {one.after for one in probe.run({"fixed": hotel}, rounds=20)} == {"portal"}


def test_one_portal_check_led_astray_is_no_portal() -> None:
    """One vendor's check that changed its answer says nothing of the line."""
    odd = replace(UP, portals=("elsewhere.example", "", ""))
    Probe().walk([START, Step({"fixed": odd, "sim": mobile(odd)}, OK, 20)])


@pytest.mark.parametrize(
    "changes",
    [
        {"portals": ("pay.example",)},
        {"portals": ("pay.example", "pay.example", "")},
        {"portals": ("pay.example", "pay.example"), "random_resolves": False},
    ],
)
def test_half_a_portal_is_a_dead_line(changes: dict[str, Any]) -> None:
    """One check only, one that is fine, or names that rightly don't resolve: no portal."""
    probe = Probe()
    probe.run({"fixed": UP})
    assert [one.after for one in probe.run({"fixed": replace(CUT, **changes)})] == ["line_dead"]


def test_two_portal_checks_on_two_pages_are_no_portal() -> None:
    """Two vendors that moved, each to a page of its own, are no captive page."""
    odd = replace(UP, portals=("one.example", "two.example"))
    Probe().walk([START, Step({"fixed": odd, "sim": mobile(odd)}, OK, 20)])


def test_a_wrong_clock_at_boot_changes_no_line() -> None:
    """Certificates that are not valid yet, on every name, leave the line's verdict alone."""
    sights = tuple(
        Sight(target, Check.HTTP, "ssl_invalid_certificate", None, "93.184.216.34", (0, 9_000))
        for target in ("news", "chat", "cats")
    )
    probe = Probe(clock_error_ms=None)
    told = probe.run({"fixed": replace(UP, sights=sights)}, rounds=20)
    assert [(one.target, one.after) for one in told] == [(None, "ok")]


def test_a_dead_resolver_is_no_dead_line() -> None:
    """Names that don't resolve, while hosts answer, are not the line's death."""
    sights = (Sight("news", Check.DNS, TIMEOUT, None, None),)
    Probe().walk([START, Step({"fixed": replace(UP, sights=sights), "sim": mobile()}, OK, 20)])


def test_few_hosts_asked_are_no_evidence() -> None:
    """Two hosts of each set, all silent, say nothing of a line."""
    probe = Probe()
    told = []
    for _ in range(20):
        made = probe.round({"fixed": CUT})
        few = {"d0", "d1", "i0", "i1"}
        kept = tuple(one for one in made.samples if one.sample.target in few)
        told += probe.machine.handle(replace(made, samples=kept))
    assert told == []
    assert probe.machine.verdicts() == {"fixed": LineVerdict.UNKNOWN}


def test_hosts_that_found_no_address_are_not_dead() -> None:
    """A check that never knew where to send says nothing of its host."""
    probe = Probe()
    told = []
    for _ in range(5):
        made = probe.round({"fixed": CUT})
        kept = tuple(
            _without_address(one) if one.sample.target.startswith("d") else one
            for one in made.samples
        )
        told += probe.machine.handle(replace(made, samples=kept))
    assert told == []


def test_a_portal_that_was_paid_for_is_over_when_its_checks_say_so() -> None:
    """Portal checks are rare: between them answering hosts leave the portal in doubt."""
    unpaid = Look(domestic=0, abroad=0, udp=False, portals=("pay.example",) * 2)
    between = Look(domestic=0, abroad=0, udp=False)
    probe = Probe()
    probe.walk(
        [
            Step({"fixed": UP}, {"fixed": "ok"}, told=["fixed: unknown > ok"]),
            Step({"fixed": unpaid}, {"fixed": "ok"}, 1),
            Step({"fixed": between}, {"fixed": "portal"}, 2, ["fixed: ok > portal"]),
            Step({"fixed": between}, {"fixed": "portal"}, 20),
        ]
    )
    paid_ms = probe.now_ms
    assert not probe.machine.wants_tight_schedule(paid_ms)
    assert probe.run({"fixed": UP}, rounds=5) == []
    assert probe.machine.wants_tight_schedule(paid_ms + probe.period_ms)
    probe.run({"fixed": replace(UP, portals=("", ""))}, rounds=1)
    told = probe.run({"fixed": UP}, rounds=2)
    assert [one.after for one in told] == ["ok"]
    assert told[0].earliest_ms <= paid_ms + 1 <= told[0].latest_ms


def test_a_portal_that_answers_for_every_host_is_one() -> None:
    """It completes every handshake itself; only its checks, each tenth round, tell it."""
    between = replace(UP, icmp=False)
    asked = replace(between, portals=("pay.example",) * 2, random_resolves=True)
    probe = Probe()
    probe.run({"fixed": UP})
    told = []
    for _ in range(5):
        told += probe.run({"fixed": asked}, rounds=1)
        told += probe.run({"fixed": between}, rounds=9)
    assert [one.after for one in told] == ["portal"]


def test_one_slow_measurement_is_not_throttling_however_long_it_stands() -> None:
    """Goodput is measured rarely; without a second look no quarter of an hour passes."""
    probe = Probe()
    probe.run({"fixed": replace(UP, goodput=(1e6, 1e6, 1e6))}, rounds=130)
    probe.run({"fixed": replace(UP, goodput=(1e5, 1e5, 1e5))}, rounds=1)
    assert probe.run({"fixed": UP}, rounds=60) == []


def test_a_random_name_is_no_target_of_its_own() -> None:
    """The random-name check has a neutral role, and no verdict."""
    probe = Probe()
    told = []
    for _ in range(5):
        made = probe.round({"fixed": replace(UP, random_resolves=False)})
        told += probe.machine.handle(replace(made, roles={**made.roles, "random": Role.NEUTRAL}))
    assert [(one.target, one.after) for one in told] == [(None, "ok")]
