"""Each knob, set on one line, is seen by the agent's checks as it should be, and on no other."""

from typing import Any

import pytest

from linewatch_core.records import LineKind
from tests.lab.conftest import Lab
from tests.lab.forge import BLOCK_PAGE_BODY
from tests.lab.knobs import Knob, Options, Spoof
from tests.lab.panel import BLOCKED, HEALTHY, NAMES, bodies_us, failures

TIMEOUT, RESET, REFUSED = "generic_timeout_error", "connection_reset", "connection_refused"
NXDOMAIN, UNTRUSTED, NO_ADDRESS = (
    "dns_nxdomain_error",
    "ssl_unknown_authority",
    "address_not_available",
)
BY_DNS = {"dns", "dns-blocked", "dns-random"}
AT_HOME = {"gateway", "home-icmp", "home-tcp", "home-https", "home-other", *BY_DNS}
ABROAD = set(NAMES) - AT_HOME
ON_EDGE = {"sni-blocked", "sni-neutral", "host-blocked", "host-neutral", "by-name"}
BY_TLS = {"home-https", "far-https", "sni-blocked", "sni-neutral", "by-name"}
BY_ICMP = {"gateway", "home-icmp", "far-icmp"}
TIME_SERVER = "11.104.0.123"


def _all(failure: str, names: "set[str] | tuple[str, ...]" = NAMES) -> dict[str, str]:
    return dict.fromkeys(names, failure)


NO_BEARER = _all(NO_ADDRESS) | _all("no_resolver", BY_DNS)
ALLOWED = {"gateway", "home-icmp", "home-tcp", "home-https", *BY_DNS}
PORTAL = _all(TIMEOUT) | _all(REFUSED, {"home-https", "far-https", "by-name"})
BEYOND_PORTAL = {"gateway", "far-dns", *BY_DNS, "host-blocked", "host-neutral", "portal-check"}

CASES: list[tuple[Knob, str, dict[str, Any], dict[str, str]]] = [
    (Knob.LINK_DOWN, "alpha", {}, _all(TIMEOUT)),
    (Knob.LINK_DOWN, "beta", {}, NO_BEARER),
    (Knob.BEARER_REFUSED, "beta", {}, NO_BEARER),
    (Knob.CUT, "alpha", {}, _all(TIMEOUT, set(NAMES) - {"gateway"})),
    (Knob.CUT, "beta", {}, _all(TIMEOUT)),
    (Knob.LOSSY, "gamma", {"loss": 1.0}, _all(TIMEOUT)),
    (Knob.INTL_CUT, "gamma", {}, HEALTHY | _all(TIMEOUT, ABROAD)),
    (
        Knob.ALLOW_LIST,
        "beta",
        {"sites": ("bank", "encyclopedia")},
        HEALTHY | _all(TIMEOUT, set(NAMES) - ALLOWED),
    ),
    (Knob.BLACKHOLE, "beta", {"sites": ("edge-one",)}, _all(TIMEOUT, {"edge-tcp", *ON_EDGE})),
    (Knob.DNS_SPOOF, "beta", {"mode": Spoof.BOGON}, {"by-name": TIMEOUT}),
    (Knob.DNS_SPOOF, "beta", {"mode": Spoof.BLOCK_PAGE}, {"by-name": REFUSED}),
    (Knob.DNS_SPOOF, "beta", {"mode": Spoof.NXDOMAIN}, _all(NXDOMAIN, {"by-name", "dns-blocked"})),
    (Knob.DNS_SPOOF, "beta", {"mode": Spoof.INJECTED}, {"by-name": TIMEOUT}),
    (Knob.SNI_RESET, "alpha", {}, _all(RESET, {"sni-blocked", "by-name"})),
    (Knob.SNI_DROP, "beta", {}, _all(TIMEOUT, {"sni-blocked", "by-name"})),
    (Knob.HTTP_RESET, "beta", {}, {"host-blocked": RESET}),
    (Knob.HTTP_BLOCK_PAGE, "beta", {}, {}),
    (Knob.UDP_ONLY, "beta", {}, HEALTHY | _all(TIMEOUT, set(NAMES) - {*BY_DNS, "far-dns"})),
    (Knob.ICMP_ONLY, "beta", {}, _all(TIMEOUT, set(NAMES) - BY_ICMP)),
    (Knob.TLS_INTERCEPT, "beta", {}, _all(UNTRUSTED, BY_TLS)),
    (Knob.BROKER_BLOCKED, "beta", {"sites": ("server",), "ports": (8883,)}, {"broker": TIMEOUT}),
    (Knob.TARPIT, "beta", {"sites": ("edge-one",)}, _all(TIMEOUT, ON_EDGE)),
    (Knob.CDN_ROTATION, "beta", {"sites": ("edge-two",)}, {}),
]
"""Knob, operator, options, and the failures that the line then shows."""
BY_NAME = {
    Knob.DNS_SPOOF,
    Knob.SNI_RESET,
    Knob.SNI_DROP,
    Knob.HTTP_RESET,
    Knob.HTTP_BLOCK_PAGE,
    Knob.CDN_ROTATION,
}


def _named(knob: Knob) -> dict[str, Any]:
    return {"names": (BLOCKED,)} if knob in BY_NAME else {}


def test_without_knobs_everything_answers(lab: Lab) -> None:
    """A healthy country fails nothing on any line, but for a name that nobody has."""
    assert {line: failures(seen) for line, seen in lab.see().items()} == {
        "fixed-1": HEALTHY,
        "mobile-1": HEALTHY,
        "mobile-2": HEALTHY,
    }


@pytest.mark.parametrize(
    ("knob", "operator", "options", "expected"),
    CASES,
    ids=[f"{case[0]}-{case[1]}-{case[2].get('mode', '')}".rstrip("-") for case in CASES],
)
def test_knob(
    lab: Lab, knob: Knob, operator: str, options: dict[str, Any], expected: dict[str, str]
) -> None:
    """The knob's line fails what it must and nothing else; the other lines stay healthy."""
    lab.apply(knob, operator, **_named(knob), **options)
    (line,) = lab.country.plan.lines_of(operator)
    seen = {name: failures(outcomes) for name, outcomes in lab.see().items()}
    assert seen.pop(line.id) == HEALTHY | expected
    assert seen == dict.fromkeys(seen, HEALTHY)


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        (Spoof.BOGON, ["10.10.34.36"], None),
        (Spoof.BLOCK_PAGE, ["11.52.0.81"], None),
        (Spoof.INJECTED, ["10.10.34.36"], ["11.105.0.10"]),
    ],
)
def test_forged_answers(lab: Lab, mode: Spoof, first: list[str], second: list[str] | None) -> None:
    """The dns check hears the forged answer first, and the true one where it follows."""
    lab.apply(Knob.DNS_SPOOF, "beta", names=(BLOCKED,), mode=mode)
    detail = lab.see()["mobile-1"]["dns-blocked"]["detail"]
    assert (detail[2], detail[3]) == (first, second)


def test_cdn_rotation_answers_another_honest_edge(lab: Lab) -> None:
    """The name leads elsewhere, and its certificate holds there."""
    lab.apply(Knob.CDN_ROTATION, "beta", names=(BLOCKED,), sites=("edge-two",))
    seen = lab.see()["mobile-1"]
    assert seen["dns-blocked"]["detail"][2] == ["11.106.0.10"]
    assert (seen["by-name"]["address"], seen["by-name"]["failure"]) == ("11.106.0.10", None)


def test_block_page_is_told_by_status_and_size(lab: Lab) -> None:
    """The blocked Host gets a 403 with the censor's page, the neutral one its own page."""
    lab.apply(Knob.HTTP_BLOCK_PAGE, "beta", names=(BLOCKED,))
    seen = lab.see()["mobile-1"]
    assert seen["host-blocked"]["detail"][1:3] == [403, len(BLOCK_PAGE_BODY)]
    assert seen["host-neutral"]["detail"][1] == 200


def test_portal_rewrites_and_resolves_everything(lab: Lab) -> None:
    """Portal checks are redirected to the login page, and a random name resolves."""
    lab.apply(Knob.PORTAL, "beta")
    every = lab.see()
    seen = every.pop("mobile-1")
    expected = {name: why for name, why in PORTAL.items() if name not in BEYOND_PORTAL}
    assert failures(seen) == expected
    assert seen["portal-check"]["detail"][1:5:3] == [302, "login.beta.example/"]
    assert seen["dns-random"]["detail"][2] == ["11.52.0.80"]
    assert {line: failures(outcomes) for line, outcomes in every.items()} == {
        "fixed-1": HEALTHY,
        "mobile-2": HEALTHY,
    }


def test_throttle_by_sni_slows_that_name_only(lab: Lab) -> None:
    """On one address, the sensitive name's page takes over three times the neutral one's."""
    lab.apply(Knob.THROTTLE_SNI, "beta", names=(BLOCKED,), rate_kbit=256)
    blocked, neutral = bodies_us(lab.probe, "mobile-1", (BLOCKED, "neutral.example"))
    elsewhere = bodies_us(lab.probe, "mobile-2", (BLOCKED,))
    assert blocked > 3 * neutral
    assert blocked > 3 * elsewhere[0]


def test_throttle_all_slows_every_name_of_the_line(lab: Lab) -> None:
    """Pages over the throttled line take over three times those over the other mobile line."""
    lab.apply(Knob.THROTTLE_ALL, "beta", rate_kbit=256)
    names = (BLOCKED, "neutral.example")
    slow, plain = (bodies_us(lab.probe, line, names) for line in ("mobile-1", "mobile-2"))
    assert min(slow) > 3 * max(plain)


@pytest.mark.parametrize(
    ("knob", "options", "low_s", "high_s"),
    [(Knob.NTP_BLOCKED, {}, None, None), (Knob.NTP_LYING, {"offset_s": 3600.0}, 3599, 3601)],
)
def test_time_servers(
    lab: Lab, knob: Knob, options: dict[str, Any], low_s: float | None, high_s: float | None
) -> None:
    """A time server is silent or lies on the knob's line, and tells the truth on another."""
    lab.apply(knob, "beta", **options)
    told = lab.probe.ask({"ntp": TIME_SERVER, "line": "mobile-1"})
    assert (told is None) if low_s is None or high_s is None else (low_s < told < high_s)
    assert abs(lab.probe.ask({"ntp": TIME_SERVER, "line": "fixed-1"})) < 1


def test_site_down_is_down_on_every_line(lab: Lab) -> None:
    """A site that is gone is silent everywhere, and its neighbour answers."""
    lab.apply(Knob.SITE_DOWN, sites=("edge-one",))
    expected = HEALTHY | _all(TIMEOUT, {"edge-tcp", *ON_EDGE})
    assert all(failures(outcomes) == expected for outcomes in lab.see().values())


def test_two_outages_of_sites_end_one_by_one(lab: Lab) -> None:
    """A site that two events took down is back when the last of them ends."""
    both, one = Options(sites=("edge-one", "bank")), Options(sites=("edge-one",))
    lab.country.apply(Knob.SITE_DOWN, options=both, label="a")
    lab.country.apply(Knob.SITE_DOWN, options=one, label="b")
    lab.country.clear(Knob.SITE_DOWN, label="a")
    seen = failures(lab.see()["fixed-1"])
    assert seen == HEALTHY | _all(TIMEOUT, {"edge-tcp", *ON_EDGE})


def test_knobs_stand_together(lab: Lab) -> None:
    """Throttled first and blocked later, or spoofed first and cut later: each does its own."""
    lab.apply(Knob.THROTTLE_ALL, "beta", rate_kbit=2000)
    lab.apply(Knob.SNI_RESET, "beta", names=(BLOCKED,))
    lab.apply(Knob.DNS_SPOOF, "gamma", names=("*",), mode=Spoof.BOGON)
    lab.apply(Knob.CUT, "gamma")
    seen = lab.see()
    assert failures(seen["mobile-1"]) == HEALTHY | _all(RESET, {"sni-blocked", "by-name"})
    assert failures(seen["mobile-2"]) == _all(TIMEOUT)


def test_kind_selects_lines_of_every_operator(lab: Lab) -> None:
    """A knob on a kind hits both mobile lines and not the fixed one."""
    lab.apply(Knob.INTL_CUT, kind=LineKind.MOBILE)
    seen = {line: failures(outcomes) for line, outcomes in lab.see().items()}
    assert seen == {
        "fixed-1": HEALTHY,
        "mobile-1": HEALTHY | _all(TIMEOUT, ABROAD),
        "mobile-2": HEALTHY | _all(TIMEOUT, ABROAD),
    }


def test_every_knob_can_be_taken_back(lab: Lab) -> None:
    """After all knobs of one line were set and cleared, nothing of them is left."""
    for knob, operator, options, _ in CASES:
        lab.apply(knob, operator, **_named(knob), **options)
    lab.apply(Knob.SITE_DOWN, sites=("bank",))
    lab.country.clear()
    assert all(failures(outcomes) == HEALTHY for outcomes in lab.see().values())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"knob": Knob.BEARER_REFUSED, "operator": "alpha"}, "a fixed line has no bearer"),
        ({"knob": Knob.CUT, "operator": "delta"}, "no line of operator delta"),
        ({"knob": Knob.SNI_RESET, "operator": "beta"}, "sni_reset needs the option names"),
        ({"knob": Knob.CUT, "operator": "beta", "names": ("a.example",)}, "takes no option names"),
        ({"knob": Knob.BLACKHOLE, "sites": ("nowhere",)}, "no site is called 'nowhere'"),
        ({"knob": Knob.SITE_DOWN, "operator": "beta", "sites": ("bank",)}, "for all lines"),
    ],
)
def test_wrong_knobs_are_refused(lab: Lab, call: dict[str, Any], reason: str) -> None:
    """What makes no sense is refused in words before anything changes."""
    with pytest.raises(ValueError, match=reason):
        lab.apply(**call)
