"""Step tables: what must be told of a line after which rounds."""

from dataclasses import replace

import pytest

from linewatch_core.modem_words import Bearer, ModemDetail, Registration, Sim
from linewatch_core.records import GapReason
from linewatch_core.verdict import LineVerdict
from linewatch_core.verdict.rules import LINE_RULES
from tests.core.verdict.scenes import (
    CUT,
    INTL_CUT,
    TIMEOUT,
    UP,
    Look,
    Probe,
    Step,
    mobile,
)

HOME = ModemDetail(sim=Sim.READY, registration=Registration.HOME, bearer=Bearer.UP, signal_dbm=-80)
ON_AIR = mobile(modem=HOME)


def modem(look: Look, **changes: object) -> Look:
    """Return a mobile look whose modem says something else."""
    facts = {name: getattr(HOME, name) for name in HOME.__struct_fields__}
    return mobile(look, modem=ModemDetail(**{**facts, **changes}))


def ok(**looks: Look) -> Step:
    """Return the first step of most tables: three good rounds, and every line is ok."""
    told = [f"{line}: unknown > ok" for line in sorted(looks)]
    return Step(looks, dict.fromkeys(looks, "ok"), told=told)


def one(look: Look, after: str, *, rounds: int = 3, before: str = "ok") -> Step:
    """Return a step of a probe with one line, on which one change is told."""
    return Step({"fixed": look}, {"fixed": after}, rounds, [f"fixed: {before} > {after}"])


def test_ok_after_three_good_rounds_and_not_before() -> None:
    """A fresh machine says `unknown` until three rounds in a row were good."""
    Probe().walk(
        [Step({"fixed": UP}, {"fixed": "unknown"}, 2), one(UP, "ok", rounds=1, before="unknown")]
    )


def test_unknown_while_nothing_is_measured() -> None:
    """Rounds without a sample never become `ok`, and take it back after three."""
    silent = {"fixed": replace(UP, silent=True)}
    Probe().walk(
        [
            Step(silent, {"fixed": "unknown"}, 5),
            one(UP, "ok", before="unknown"),
            Step(silent, {"fixed": "ok"}, 2),
            Step(silent, {"fixed": "unknown"}, 1, ["fixed: ok > unknown"]),
        ]
    )


@pytest.mark.parametrize("problem", ["down", "no_carrier", "no_address", "no_route", "device_gone"])
def test_local_link_when_the_cable_is_out(problem: str) -> None:
    """A fixed line without link, lease, route or device is a local matter."""
    pulled = replace(CUT, problems=(problem,), gateway="no_device")
    Probe().walk([ok(fixed=UP), one(pulled, "local.link"), one(UP, "ok", before="local.link")])


def test_what_was_said_of_a_link_does_not_outweigh_hosts_that_answer() -> None:
    """Lines are looked at now and then; answers are newer than that."""
    Probe().walk(
        [ok(fixed=UP), Step({"fixed": replace(UP, problems=("down",))}, {"fixed": "ok"}, 9)]
    )


def test_local_link_when_the_home_router_hangs() -> None:
    """A gateway that used to answer and is silent now explains silence behind it.

    The first round of it counts for nothing: its one echo may have been lost.
    """
    hung = replace(CUT, gateway=TIMEOUT)
    Probe().walk(
        [ok(fixed=UP), Step({"fixed": hung}, {"fixed": "ok"}, 3), one(hung, "local.link", rounds=1)]
    )


@pytest.mark.parametrize("when", [0, 1, 2])
def test_one_lost_echo_to_the_gateway_begins_no_count_anew(when: int) -> None:
    """A dead line is told after three rounds that saw it, whichever echo besides was lost."""
    lost = Step({"fixed": replace(CUT, gateway=TIMEOUT)}, {"fixed": "ok"}, 1)
    before = [Step({"fixed": CUT}, {"fixed": "ok"}, when)] if when else []
    Probe().walk([ok(fixed=UP), *before, lost, one(CUT, "line_dead", rounds=3 - when)])


def test_a_gateway_that_drops_every_other_echo_hides_nothing() -> None:
    """It is there, so what is dead lies behind it."""
    lost = Step({"fixed": replace(CUT, gateway=TIMEOUT)}, {"fixed": "ok"}, 1)
    seen = Step({"fixed": CUT}, {"fixed": "ok"}, 1)
    Probe().walk([ok(fixed=UP), lost, seen, lost, seen, lost, one(CUT, "line_dead", rounds=1)])


def test_local_link_when_arp_is_not_answered() -> None:
    """No ARP reply tells at once, even of a gateway that never answered an echo."""
    never = replace(UP, gateway=TIMEOUT)
    no_arp = replace(CUT, gateway="host_unreachable")
    Probe().walk([ok(fixed=never), one(no_arp, "local.link")])


def test_a_gateway_that_never_answers_echoes_explains_nothing() -> None:
    """Silence of a gateway that was always silent leaves the line dead, not its link."""
    never = replace(UP, gateway=TIMEOUT)
    Probe().walk([ok(fixed=never), one(replace(CUT, gateway=TIMEOUT), "line_dead")])


@pytest.mark.parametrize(
    "changes",
    [
        {"present": False},
        {"sim": Sim.MISSING},
        {"sim": Sim.LOCKED},
        {"registration": Registration.DENIED},
    ],
)
def test_local_modem_when_modem_or_sim_is_at_fault(changes: dict[str, object]) -> None:
    """Modem gone, SIM missing or locked, and registration denied are local."""
    steps = [ok(sim=ON_AIR)]
    steps += [
        Step({"sim": modem(CUT, **changes)}, {"sim": "local.modem"}, 3, ["sim: ok > local.modem"])
    ]
    Probe().walk(steps)


def test_local_modem_when_a_stick_is_pulled_out() -> None:
    """A mobile line whose device is gone has lost its modem."""
    gone = mobile(CUT, problems=("device_gone",))
    Probe().walk(
        [
            ok(sim=mobile()),
            Step({"sim": gone}, {"sim": "local.modem"}, 3, ["sim: ok > local.modem"]),
        ]
    )


def test_radio_loss_after_three_rounds_of_searching() -> None:
    """A good SIM that finds no network for three rounds has lost its radio."""
    lost = modem(CUT, registration=Registration.SEARCHING, bearer=Bearer.DOWN, signal_dbm=None)
    Probe().walk(
        [
            ok(sim=ON_AIR),
            Step({"sim": lost}, {"sim": "ok"}, 2),
            Step({"sim": lost}, {"sim": "radio_loss"}, 1, ["sim: ok > radio_loss"]),
        ]
    )


def on_air_for_hours(fixed: Look = UP) -> Probe:
    """Return a probe that has learned its usual signal."""
    probe = Probe(period_ms=30_000)
    probe.run({"fixed": fixed, "sim": ON_AIR}, rounds=150)
    return probe


def test_data_cut_when_the_bearer_is_refused_with_good_signal() -> None:
    """Registered at home, signal as ever, data session refused: data was switched off."""
    refused = modem(CUT, bearer=Bearer.REFUSED, signal_dbm=-84)
    refused = replace(refused, problems=("no_carrier",))
    probe = on_air_for_hours()
    probe.walk(
        [
            Step(
                {"fixed": UP, "sim": refused},
                {"sim": "data_cut", "fixed": "ok"},
                3,
                ["sim: ok > data_cut"],
            )
        ]
    )


def test_data_cut_when_the_bearer_is_up_and_nothing_answers() -> None:
    """The same with a session that leads nowhere, while the fixed line is fine."""
    dead = modem(CUT)
    probe = on_air_for_hours()
    probe.walk(
        [
            Step(
                {"fixed": UP, "sim": dead},
                {"sim": "data_cut", "fixed": "ok"},
                3,
                ["sim: ok > data_cut"],
            )
        ]
    )


def test_no_data_cut_where_the_signal_fell() -> None:
    """With a signal 20 dB below its normal it is not called data switched off."""
    weak = modem(CUT, signal_dbm=-100)
    probe = on_air_for_hours()
    probe.walk([Step({"fixed": UP, "sim": weak}, {"sim": "line_dead"}, 3, ["sim: ok > line_dead"])])


def test_line_dead_beside_a_line_that_is_fine() -> None:
    """Link and gateway fine, nothing answers, the other line is fine."""
    probe = Probe()
    probe.walk([ok(fixed=UP, sim=mobile())])
    told = probe.run({"fixed": CUT, "sim": mobile()})
    assert [(one.after, one.rule) for one in told] == [("line_dead", "line_dead")]


def test_line_dead_alone_says_so_by_its_rule() -> None:
    """With no other line to compare with the rule's id says that it may be more."""
    probe = Probe()
    probe.walk([ok(fixed=UP)])
    assert [(one.after, one.rule) for one in probe.run({"fixed": CUT})] == [
        ("line_dead", "line_dead.alone")
    ]


def test_one_operator_only_is_not_dark() -> None:
    """Two dead lines of one operator are two dead lines."""
    lines = {"fixed": replace(CUT, operator="A"), "sim": mobile(CUT, operator="A")}
    told = ["fixed: ok > line_dead", "sim: ok > line_dead"]
    Probe().walk(
        [ok(fixed=UP, sim=mobile()), Step(lines, dict.fromkeys(lines, "line_dead"), 3, told)]
    )


def test_dark_when_every_line_of_two_operators_is_dead() -> None:
    """All lines, two operators, link up, nothing answers; and back after three good rounds."""
    lines = {"fixed": replace(CUT, operator="A"), "sim": mobile(CUT, operator="B")}
    up = {"fixed": UP, "sim": mobile()}
    Probe().walk(
        [
            ok(**up),
            Step(lines, dict.fromkeys(lines, "ok"), 2),
            Step(lines, dict.fromkeys(lines, "dark"), 1, ["fixed: ok > dark", "sim: ok > dark"]),
            Step(up, dict.fromkeys(up, "ok"), 3, ["fixed: dark > ok", "sim: dark > ok"]),
        ]
    )


def test_the_lost_echo_of_another_line_hides_no_darkness() -> None:
    """The other line's gateway misses one echo of the three rounds: it is no local cause yet."""
    up = {"fixed": UP, "dsl": replace(UP, operator="B")}
    cut = {"fixed": CUT, "dsl": replace(CUT, operator="B")}
    lost = cut | {"dsl": replace(cut["dsl"], gateway=TIMEOUT)}
    Probe().walk(
        [
            ok(**up),
            Step(cut, dict.fromkeys(up, "ok"), 1),
            Step(lost, dict.fromkeys(up, "ok"), 1),
            Step(cut, {"fixed": "dark", "dsl": "ok"}, 1, ["fixed: ok > dark"]),
            Step(cut, dict.fromkeys(up, "dark"), 1, ["dsl: ok > dark"]),
        ]
    )


def test_a_line_that_searches_or_is_refused_is_as_dark_as_a_dead_one() -> None:
    """The fixed line dead, the SIM searching, then refused: nothing is left over two operators."""
    probe = on_air_for_hours()
    lost = modem(CUT, registration=Registration.SEARCHING, bearer=Bearer.DOWN, signal_dbm=None)
    lost = replace(lost, problems=("no_carrier",))
    refused = replace(modem(CUT, bearer=Bearer.REFUSED), problems=("no_carrier",))
    probe.walk(
        [
            Step(
                {"fixed": CUT, "sim": lost},
                {"fixed": "dark", "sim": "radio_loss"},
                3,
                ["fixed: ok > dark", "sim: ok > radio_loss"],
            ),
            Step(
                {"fixed": CUT, "sim": refused},
                {"fixed": "dark", "sim": "data_cut"},
                3,
                ["sim: radio_loss > data_cut"],
            ),
        ]
    )


def test_an_unplugged_third_line_does_not_hide_darkness() -> None:
    """A line with a local cause is left out of the count."""
    up = {"fixed": UP, "sim": mobile(), "spare": UP}
    cut = {"fixed": CUT, "sim": mobile(CUT), "spare": replace(CUT, problems=("no_carrier",))}
    says = {"fixed": "dark", "sim": "dark", "spare": "local.link"}
    told = [f"{line}: ok > {after}" for line, after in says.items()]
    Probe().walk([ok(**up), Step(cut, says, 3, told)])


def test_the_silent_next_hop_of_a_mobile_line_is_not_local() -> None:
    """A mobile line's next hop is its operator's own."""
    dead = mobile(CUT, gateway=TIMEOUT)
    steps = [
        ok(sim=mobile()),
        Step({"sim": dead}, {"sim": "line_dead"}, 3, ["sim: ok > line_dead"]),
    ]
    Probe().walk(steps)


def test_mobile_only_leaves_the_fixed_line_ok() -> None:
    """Two mobile lines dead and the fixed one fine: each line says its own."""
    up = {"fixed": UP, "sim-a": mobile(), "sim-b": mobile()}
    cut = {"fixed": UP, "sim-a": mobile(CUT), "sim-b": mobile(CUT)}
    says = {"fixed": "ok", "sim-a": "line_dead", "sim-b": "line_dead"}
    told = ["sim-a: ok > line_dead", "sim-b: ok > line_dead"]
    Probe().walk([ok(**up), Step(cut, says, 3, told)])


def test_a_line_with_a_local_fault_is_no_witness_of_darkness() -> None:
    """One line unplugged and one dead are no darkness, for one operator alone is heard."""
    cut = {"fixed": replace(CUT, problems=("no_carrier",)), "sim": mobile(CUT)}
    says = {"fixed": "local.link", "sim": "line_dead"}
    told = ["fixed: ok > local.link", "sim: ok > line_dead"]
    Probe().walk([ok(fixed=UP, sim=mobile()), Step(cut, says, 3, told)])


def test_intl_cut_when_only_the_country_answers() -> None:
    """Domestic up, international dead over ICMP, TCP and UDP."""
    Probe().walk([ok(fixed=UP), one(INTL_CUT, "intl_cut"), one(UP, "ok", before="intl_cut")])


def test_allow_list_when_the_same_few_answer() -> None:
    """One host abroad and two at home, the same ones round after round."""
    few = Look(domestic=("d1", "d3"), abroad=("i2",), udp=False)
    Probe().walk([ok(fixed=UP), one(few, "allow_list"), one(CUT, "line_dead", before="allow_list")])


def test_allow_list_of_domestic_hosts_only() -> None:
    """Some media and one bank, and nothing abroad."""
    Probe().walk([ok(fixed=UP), one(Look(domestic=2, abroad=0, udp=False), "allow_list")])


def test_throttled_after_a_quarter_of_an_hour_of_low_goodput() -> None:
    """Goodput at a tenth of its normal to four anchors; told late, dated to its begin."""
    probe = Probe()
    fast = replace(UP, goodput=(1e6, 1e6, 1e6, 1e6))
    slow = replace(UP, goodput=(1e5, 1e5, 1e5, 1e5))
    probe.run({"fixed": fast}, rounds=130)
    began_ms = probe.now_ms
    probe.walk([Step({"fixed": slow}, {"fixed": "ok"}, 30)])
    told = probe.run({"fixed": slow}, rounds=2)
    assert [one.after for one in told] == ["throttled"]
    assert began_ms <= told[0].earliest_ms <= told[0].latest_ms <= began_ms + 2 * probe.period_ms
    probe.walk([one(fast, "ok", before="throttled")])


def test_a_slow_spell_of_ten_minutes_is_not_throttling() -> None:
    """What ends before its quarter of an hour is told by nobody."""
    probe = Probe()
    fast = {"fixed": replace(UP, goodput=(1e6, 1e6, 1e6))}
    slow = {"fixed": replace(UP, goodput=(1e5, 1e5, 1e5))}
    probe.run(fast, rounds=130)
    probe.walk([Step(slow, {"fixed": "ok"}, 20), Step(fast, {"fixed": "ok"}, 20)])


def test_low_goodput_with_a_weak_signal_is_neither_throttled_nor_ok() -> None:
    """Radio explains slowness: nothing is claimed."""
    probe = Probe()
    probe.run({"sim": replace(ON_AIR, goodput=(1e6, 1e6, 1e6))}, rounds=130)
    weak = replace(modem(UP, signal_dbm=-105), goodput=(1e5, 1e5, 1e5))
    probe.walk([Step({"sim": weak}, {"sim": "unknown"}, 60, ["sim: ok > unknown"])])


def test_portal_when_two_vendors_land_on_one_page() -> None:
    """An unpaid SIM: every check lands on the operator's page, and any name resolves."""
    paid = replace(UP, portals=("", "", ""), random_resolves=False)
    unpaid = replace(
        CUT, portals=("pay.example", "pay.example", "pay.example"), random_resolves=True
    )
    Probe().walk([ok(fixed=UP), one(unpaid, "portal"), one(paid, "ok", before="portal")])


def test_local_power_is_told_of_a_hole_before_a_new_boot() -> None:
    """After a reboot nothing is claimed of the network for the hole before it."""
    new = "c" * 32
    Probe().walk(
        [
            ok(fixed=UP),
            Step(
                {"fixed": UP},
                {"fixed": "local.power"},
                2,
                ["fixed: ok > local.power"],
                gap=GapReason.REBOOTED,
                boot=new,
            ),
            Step({"fixed": UP}, {"fixed": "ok"}, 1, ["fixed: local.power > ok"], boot=new),
        ]
    )


def test_a_hole_makes_a_line_unknown() -> None:
    """After ten minutes without a round the old verdict is no longer claimed."""
    Probe().walk(
        [
            ok(fixed=UP),
            Step({"fixed": UP}, {"fixed": "unknown"}, 2, ["fixed: ok > unknown"], skip_ms=600_000),
            one(UP, "ok", rounds=1, before="unknown"),
        ]
    )


def test_a_restoration_of_four_rounds_is_a_row_of_its_own() -> None:
    """Short restorations are told, not smoothed away."""
    Probe().walk(
        [
            ok(fixed=UP, sim=mobile()),
            Step(
                {"fixed": CUT, "sim": mobile(CUT)},
                {"fixed": "dark"},
                9,
                ["fixed: ok > dark", "sim: ok > dark"],
            ),
            Step(
                {"fixed": UP, "sim": mobile(CUT)},
                {"fixed": "ok", "sim": "line_dead"},
                4,
                ["fixed: dark > ok", "sim: dark > line_dead"],
            ),
            Step(
                {"fixed": CUT, "sim": mobile(CUT)},
                {"fixed": "dark", "sim": "dark"},
                3,
                ["fixed: ok > dark", "sim: line_dead > dark"],
            ),
        ]
    )


def test_without_a_domestic_set_ok_is_said_by_a_weaker_rule() -> None:
    """A configuration that names no domestic host can't have both sets up; the rule says so."""
    probe = Probe()
    told = []
    for _ in range(3):
        made = probe.round({"fixed": UP})
        roles = {name: role for name, role in made.roles.items() if not name.startswith("d")}
        told += probe.machine.handle(replace(made, roles=roles))
    assert [(one.after, one.rule) for one in told] == [("ok", "ok.no_domestic")]


def test_every_line_verdict_has_a_rule_or_is_a_holes() -> None:
    """The table is complete, its ids are distinct, and `unknown` is what is left."""
    assert {rule.verdict for rule in LINE_RULES} | {LineVerdict.POWER} == set(LineVerdict)
    assert len({rule.id for rule in LINE_RULES}) == len(LINE_RULES)
    assert LINE_RULES[-1].verdict is LineVerdict.UNKNOWN
