"""Step tables: what must be told of a target on a line, and what must not."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_struct

from linewatch_core.details import (
    AlternationDetail,
    Answer,
    ContrastDetail,
    DnsDetail,
    HttpDetail,
    NeighbourDetail,
)
from linewatch_core.judging import CachedTruth
from linewatch_core.records import Check
from linewatch_core.verdict import TargetVerdict
from linewatch_core.verdict.rules import TARGET_RULES
from tests.core.verdict.scenes import CUT, TIMEOUT, UP, Look, Probe, Sight, Step

REAL = "93.184.216.34"
FOREIGN = "45.60.70.80"
TRUTH = CachedTruth(networks={"news": ("93.184.216.0/24",)}, block_addresses=("45.99.99.99",))
CHAIN = "c" * 16


def page(chain: str | None = CHAIN, digest: str = "a" * 16) -> HttpDetail:
    """Return what a good fetch saw."""
    return HttpDetail(200, 512, digest, None, chain)


def dns(*answers: str, second: tuple[str, ...] | None = None, failure: str | None = None) -> Sight:
    """Return what the line's resolver said of the news site's name."""
    rcode = "NOERROR" if failure is None else "NXDOMAIN"
    return Sight("news", Check.DNS, failure, DnsDetail(rcode, answers, second), None)


def tcp(failure: str | None = None, target: str = "news", address: str = REAL) -> Sight:
    """Return how a handshake ended."""
    return Sight(target, Check.TCP, failure, address=address)


def https(failure: str | None = None, target: str = "news", address: str = REAL) -> Sight:
    """Return how a fetch over TLS ended."""
    reached = (0, 40_000) if failure != TIMEOUT else (0,)
    detail = page() if failure is None else None
    return Sight(target, Check.HTTP, failure, detail, address, reached)


def turns(check: Check, neutral: str, sensitive: str, ratio: float | None = None) -> Sight:
    """Return the outcome of an alternation; `ratio` of the sensitive to the neutral page's time."""
    neutral_us, sensitive_us = (None, None) if ratio is None else (100_000, int(100_000 * ratio))
    detail = AlternationDetail(
        neutral, sensitive, neutral_page_us=neutral_us, sensitive_page_us=sensitive_us
    )
    return Sight("news", check, None, detail)


def contrast(own: Answer, other: Answer) -> Sight:
    """Return what the own and the encrypted resolvers said."""
    return Sight("news", Check.CONTRAST, own.failure, ContrastDetail(own, other, other, other))


def look(*sights: Sight) -> Look:
    """Return a good line on which this is seen besides."""
    return replace(UP, sights=sights)


FINE = look(dns(REAL), tcp(), https())


def verdict_of(
    *sights: Sight, truth: CachedTruth = TRUTH, other: Look = UP, clock_error_ms: int | None = 50
) -> tuple[str, str]:
    """Return what is told of the news site, and by which rule, after good rounds and three such."""
    probe = Probe(truth=truth, clock_error_ms=clock_error_ms)
    looks = {"fixed": FINE, "sim": other}
    told = probe.run(looks)
    assert ("news", "ok") in [(one.target, one.after) for one in told if one.line == "fixed"]
    told = probe.run({"fixed": look(*sights), "sim": other})
    mine = [one for one in told if one.target == "news" and one.line == "fixed"]
    assert len(mine) <= 1
    assert probe.machine.verdicts()["fixed"].value == "ok", (
        "blocking sits beside the line's verdict"
    )
    return (mine[0].after, mine[0].rule) if mine else ("ok", "")


REAL_ANSWER = Answer(None, (REAL,))


@pytest.mark.parametrize(
    ("sights", "verdict"),
    [
        ((dns("10.10.34.35"), tcp(TIMEOUT)), "dns_tampered.bogus"),
        ((dns("@gateway"), tcp(TIMEOUT)), "dns_tampered.bogus"),
        ((dns("45.99.99.99"), tcp()), "dns_tampered.bogus"),
        ((dns(REAL, second=(FOREIGN,)), tcp()), "dns_tampered.two_replies"),
        (
            (
                dns(FOREIGN),
                https("ssl_invalid_hostname"),
                contrast(Answer(None, (FOREIGN,)), REAL_ANSWER),
            ),
            "dns_tampered.foreign",
        ),
        (
            (dns(FOREIGN), tcp(TIMEOUT), contrast(Answer(None, (FOREIGN,)), REAL_ANSWER)),
            "dns_tampered.foreign",
        ),
        (
            (
                dns(failure="dns_nxdomain_error"),
                contrast(Answer("dns_nxdomain_error"), REAL_ANSWER),
            ),
            "dns_tampered.denied",
        ),
    ],
)
def test_dns_tampered(sights: tuple[Sight, ...], verdict: str) -> None:
    """Each form of a false answer is told by its own rule."""
    assert verdict_of(*sights) == ("dns_tampered", verdict)


def test_dns_tampered_by_what_another_line_hears() -> None:
    """NXDOMAIN here and an address on another line in the same round."""
    told = verdict_of(dns(failure="dns_nxdomain_error"), other=look(dns(REAL)))
    assert told == ("dns_tampered", "dns_tampered.denied")


def test_a_reply_from_an_address_that_runs_no_dns_is_tampering() -> None:
    """Only somebody on the path can have sent it."""
    truth = CachedTruth(silent_resolvers=("decoy",))
    probe = Probe(truth=truth)
    reply = Sight("decoy", Check.DNS, None, DnsDetail("NOERROR", (FOREIGN,)), "203.0.113.7")
    told = []
    for _ in range(3):
        made = probe.round({"fixed": look(reply)})
        roles = {**made.roles, "decoy": made.roles["outside-resolver"]}
        told += probe.machine.handle(replace(made, roles=roles))
    assert [one.after for one in told if one.target == "decoy"] == ["dns_tampered"]


def test_a_mere_mismatch_is_suspect() -> None:
    """Another address than usual without a look at its certificate is no more than suspect."""
    assert verdict_of(dns(FOREIGN), tcp(address=FOREIGN)) == ("dns_suspect", "dns_suspect")


def test_cdn_rotation_is_not_tampering() -> None:
    """Other addresses here than elsewhere are fine where TLS proves the site."""
    elsewhere = contrast(Answer(None, (FOREIGN,)), REAL_ANSWER)
    assert verdict_of(dns(FOREIGN), https(address=FOREIGN), elsewhere) == ("ok", "")


def test_an_old_contrast_does_not_outweigh_what_the_resolver_says_now() -> None:
    """Contrasts are rare; the own answer in an old one is no answer of this round."""
    probe = Probe()
    silence = contrast(Answer(None, ("10.1.1.1",)), Answer(TIMEOUT))
    probe.run({"fixed": look(dns("10.1.1.1"), silence)})
    assert probe.machine.target_verdicts("fixed") == {"news": TargetVerdict.DNS_TAMPERED}
    told = probe.run({"fixed": look(dns(REAL), tcp())})
    assert [(one.before, one.after) for one in told] == [("dns_tampered", "ok")]


def test_a_private_address_that_others_confirm_is_no_bogon() -> None:
    """A site may live in a closed network: the truth, or an encrypted path, says the same."""
    private = Answer(None, ("10.1.2.3",))
    here = (dns("10.1.2.3"), tcp(address="10.1.2.3"))
    inside = CachedTruth(networks={"news": ("10.1.0.0/16", "93.184.216.0/24")})
    assert verdict_of(*here, truth=inside) == ("ok", "")
    assert verdict_of(*here, contrast(private, private), truth=CachedTruth()) == ("ok", "")
    assert verdict_of(*here, truth=CachedTruth())[0] == "dns_tampered"


def test_a_name_that_no_resolver_knows_is_not_tampering() -> None:
    """NXDOMAIN everywhere is a domain that ended."""
    gone = Answer("dns_nxdomain_error")
    told = verdict_of(dns(failure="dns_nxdomain_error"), contrast(gone, gone))
    assert told == ("unknown", "unknown")


def test_an_old_truth_counts_for_nothing() -> None:
    """After two months a new network is a move, not a mismatch."""
    old = CachedTruth(networks=TRUTH.networks, age_ms=60 * 24 * 3_600_000)
    assert verdict_of(dns(FOREIGN), tcp(address=FOREIGN), truth=old) == ("ok", "")


@pytest.mark.parametrize("sensitive", ["rrr", "ddd", "rdr", "ccc"])
def test_sni_blocked_when_three_of_three_are_cut(sensitive: str) -> None:
    """The sensitive name is cut each time, the neutral one on the same address never."""
    assert verdict_of(tcp(), turns(Check.SNI, "fff", sensitive)) == ("sni_blocked", "sni_blocked")


@pytest.mark.parametrize(
    ("neutral", "sensitive"),
    [("fff", "rrf"), ("rff", "rrr"), ("ff", "rr"), ("fff", "uuu"), ("fff", "aaa"), ("", "")],
)
def test_anything_less_is_not_sni_blocked(neutral: str, sensitive: str) -> None:
    """Two of three, a cut neutral name, too few, or an alert prove nothing."""
    assert verdict_of(tcp(), turns(Check.SNI, neutral, sensitive))[0] != "sni_blocked"


def test_an_alternation_counts_until_the_next_and_a_good_fetch_overrules_it() -> None:
    """Alternations are rare; the last one stands between, unless a page came over TLS."""
    probe = Probe()
    cut, between = look(tcp(), turns(Check.SNI, "fff", "rrr")), look(tcp())
    probe.walk(
        [
            Step(
                {"fixed": look(tcp())},
                {"fixed/news": "ok"},
                3,
                ["fixed: unknown > ok", "fixed/news: unknown > ok"],
            ),
            Step({"fixed": cut}, {"fixed/news": "ok"}, 1),
            Step(
                {"fixed": between},
                {"fixed/news": "sni_blocked"},
                2,
                ["fixed/news: ok > sni_blocked"],
            ),
            Step({"fixed": between}, {"fixed/news": "sni_blocked"}, 20),
            Step(
                {"fixed": look(tcp(), https())},
                {"fixed/news": "ok"},
                3,
                ["fixed/news: sni_blocked > ok"],
            ),
        ]
    )


@pytest.mark.parametrize("sensitive", ["rrr", "ooo", "ddd"])
def test_http_blocked_when_the_host_is_cut_or_led_away(sensitive: str) -> None:
    """A reset or an off-domain redirect for this Host only."""
    assert verdict_of(tcp(), turns(Check.HOST, "fff", sensitive)) == (
        "http_blocked",
        "http_blocked",
    )


def test_http_blocked_by_a_known_block_page() -> None:
    """Every fetch ends well, but with the page that is known to be the censor's."""
    detail = AlternationDetail("fff", "fff", sensitive_page=page(None, "b" * 16))
    told = verdict_of(
        tcp(), Sight("news", Check.HOST, None, detail), truth=CachedTruth(block_pages=("b" * 16,))
    )
    assert told == ("http_blocked", "http_blocked")


NEIGHBOUR = Sight("news", Check.NEIGHBOUR, TIMEOUT, NeighbourDetail("93.184.216.35", None, 900))


@pytest.mark.parametrize("failure", [TIMEOUT, "connection_refused", "connection_reset"])
def test_ip_blocked_when_a_neighbour_and_another_line_get_through(failure: str) -> None:
    """No handshake here, while the next address answers and the other line reaches the site."""
    told = verdict_of(tcp(failure), NEIGHBOUR, other=look(tcp()))
    assert told == ("ip_blocked", "ip_blocked")


def test_ip_blocked_by_the_servers_own_vantage() -> None:
    """With one line the server's word stands for another line."""
    truth = CachedTruth(vantage_up=("news",))
    assert verdict_of(tcp(TIMEOUT), NEIGHBOUR, truth=truth) == ("ip_blocked", "ip_blocked")


def test_the_neighbour_check_alone_is_enough() -> None:
    """It tries the target first, so a target needs no tcp check beside it."""
    probe = Probe()
    fine = look(replace(NEIGHBOUR, failure=None, detail=None))
    told = probe.run({"fixed": fine, "sim": fine})
    assert [one.after for one in told if one.target == "news"] == ["ok", "ok"]
    told = probe.run({"fixed": look(NEIGHBOUR), "sim": fine})
    assert [(one.line, one.after) for one in told] == [("fixed", "ip_blocked")]


def test_without_a_neighbour_it_is_neither_blocked_nor_down() -> None:
    """Another line gets through; whether the address or its whole network is shut stays open."""
    assert verdict_of(tcp(TIMEOUT), other=look(tcp())) == ("unknown", "unknown")


def test_a_site_that_is_down_everywhere_is_down_not_blocked() -> None:
    """No line gets through: the target is down, although its neighbour answers."""
    told = verdict_of(tcp(TIMEOUT), NEIGHBOUR, other=look(tcp(TIMEOUT)))
    assert told == ("target_down", "target_down")


def test_throttled_target_when_five_pairs_take_three_times_as_long() -> None:
    """Same address, both names end well, one of them three times as slowly."""
    slow = turns(Check.SNI, "fffff", "fffff", ratio=3.0)
    assert verdict_of(tcp(), slow) == ("throttled.target", "throttled.target")


def test_three_slow_pairs_are_not_enough_for_throttling() -> None:
    """Below five pairs a ratio is chance."""
    slow = turns(Check.SNI, "fff", "fff", ratio=9.0)
    assert verdict_of(tcp(), slow) == ("ok", "")


FALSE_CHAINS = (
    https("ssl_unknown_authority"),
    https("ssl_unknown_authority", "cats", "151.101.1.1"),
)


def test_tls_intercepted_when_two_unrelated_names_show_an_unknown_root() -> None:
    """Two names in two networks, and the clock is known to be right."""
    assert verdict_of(*FALSE_CHAINS) == ("tls_intercepted", "tls_intercepted")


def test_one_false_chain_is_not_interception() -> None:
    """One site with a broken chain is that site's own fault."""
    assert verdict_of(FALSE_CHAINS[0])[0] == "unknown"


def test_a_wrong_clock_is_not_interception() -> None:
    """With a clock that nobody vouches for, bad certificates on all names prove nothing."""
    assert verdict_of(*FALSE_CHAINS, clock_error_ms=None)[0] == "unknown"
    expired = [replace(one, failure="ssl_invalid_certificate") for one in FALSE_CHAINS]
    assert verdict_of(*expired, clock_error_ms=None)[0] == "unknown"
    assert verdict_of(*expired)[0] == "unknown"


NEWS_AT, CATS_AT, CHAT_AT = REAL, "151.101.1.1", "104.16.1.1"
KNOWN = CachedTruth(
    issuers={"news": ("1" * 16,), "cats": ("2" * 16, "3" * 16), "chat": ("4" * 16,)}
)


def signed(issuer: str | None, target: str = "news", address: str = REAL) -> Sight:
    """Return a page over TLS that was accepted, under an authority."""
    detail = HttpDetail(200, 512, "a" * 16, None, CHAIN, issuer and issuer * 16)
    return Sight(target, Check.HTTP, None, detail, address, (0, 40_000))


@pytest.mark.parametrize(
    "sights",
    [
        (signed("e"), signed("e", "cats", CATS_AT)),
        (signed("e"), signed("4", "chat", CHAT_AT), signed("e", "cats", CATS_AT)),
    ],
)
def test_tls_intercepted_when_two_unrelated_names_show_anothers_authority(
    sights: tuple[Sight, ...],
) -> None:
    """Both chains are accepted, but by one authority that neither name ever had."""
    assert verdict_of(*sights, truth=KNOWN) == ("tls_intercepted", "tls_intercepted")


def in_turn(issuer: str, target: str, address: str) -> Sight:
    """Return an alternation whose sensitive name answered under an authority."""
    seen = HttpDetail(200, 512, "a" * 16, None, CHAIN, issuer * 16)
    detail = AlternationDetail("fff", "fff", sensitive_page=seen)
    return Sight(target, Check.SNI, None, detail, address)


def test_an_alternation_shows_another_authority_as_well() -> None:
    """Its own pages over TLS count as those of an http check do, and vouch for the clock."""
    sights = (in_turn("e", "news", REAL), in_turn("e", "cats", CATS_AT))
    for clock_error_ms in (50, None):
        told = verdict_of(*sights, truth=KNOWN, clock_error_ms=clock_error_ms)
        assert told == ("tls_intercepted", "tls_intercepted")
    own = (in_turn("1", "news", REAL), in_turn("2", "cats", CATS_AT))
    assert verdict_of(*own, truth=KNOWN) == ("ok", "")


def test_an_alternation_in_the_same_round_proves_the_site() -> None:
    """Another answer than the encrypted resolver's is a CDN's; an older page proves no new one."""
    other = contrast(Answer(None, (FOREIGN,)), REAL_ANSWER)
    assert verdict_of(other, truth=CachedTruth())[0] == "dns_suspect"
    assert verdict_of(other, in_turn("1", "news", FOREIGN), truth=CachedTruth()) == ("ok", "")
    probe = Probe()
    probe.run({"fixed": look(in_turn("1", "news", FOREIGN))})
    told = probe.run({"fixed": look(dns("10.1.1.1"), tcp(TIMEOUT, address="10.1.1.1"))})
    assert [one.after for one in told if one.target] == ["dns_tampered"]


@pytest.mark.parametrize(
    "sights",
    [
        # One site renews with another authority.
        (signed("e"), signed("2", "cats", CATS_AT), signed("4", "chat", CHAT_AT)),
        # A site goes on with the second of the authorities that it is known to use.
        (signed("1"), signed("3", "cats", CATS_AT)),
        # Two sites renew, each with another authority.
        (signed("e"), signed("f", "cats", CATS_AT)),
        # Two names in one network are one owner.
        (signed("e"), signed("e", "cats", "93.184.216.99")),
        # One name at two addresses is one name.
        (signed("e"), signed("e", "news", CATS_AT)),
        # Nobody knows what this one had.
        (signed("e"), signed("e", "portal", CATS_AT)),
        # A record without an authority says nothing.
        (signed(None), signed(None, "cats", CATS_AT)),
    ],
)
def test_another_authority_alone_is_not_interception(sights: tuple[Sight, ...]) -> None:
    """Sites change their authority, and nothing is wrong with that."""
    assert verdict_of(*sights, truth=KNOWN) == ("ok", "")


def test_a_truth_that_is_too_old_knows_no_authorities() -> None:
    """In a month sites may well have moved to another one."""
    old = replace_struct(KNOWN, age_ms=30 * 24 * 3_600_000 + 1)
    sights = (signed("e"), signed("e", "cats", CATS_AT))
    assert verdict_of(*sights, truth=old) == ("ok", "")


def test_a_refused_chain_of_another_authority_is_not_interception() -> None:
    """Expired, or another site's: a wrong clock and a CDN's default page do that."""
    for failure in ("ssl_invalid_certificate", "ssl_invalid_hostname"):
        bad = [replace(one, failure=failure) for one in (signed("e"), signed("e", "cats", CATS_AT))]
        assert verdict_of(*bad, truth=KNOWN, clock_error_ms=None)[0] != "tls_intercepted"
        assert verdict_of(*bad, truth=KNOWN)[0] != "tls_intercepted"


def test_one_name_in_both_families_is_one_name() -> None:
    """An unknown root at its IPv4 and its IPv6 address is one site's own fault."""
    both = (FALSE_CHAINS[0], replace(FALSE_CHAINS[0], address="2606:2800::1"))
    assert verdict_of(*both)[0] == "unknown"


def test_a_chain_verified_in_the_same_round_vouches_for_the_clock() -> None:
    """Where the other line's chain is good, this clock is right."""
    told = verdict_of(*FALSE_CHAINS, clock_error_ms=None, other=look(https(target="chat")))
    assert told == ("tls_intercepted", "tls_intercepted")


def test_nothing_is_called_blocked_on_a_dead_line_or_behind_a_portal() -> None:
    """On a line that does not work a target is unknown: an outage blocks nobody."""
    blocked = (tcp(TIMEOUT), NEIGHBOUR, turns(Check.SNI, "fff", "rrr"))
    for bad in (CUT, replace(UP, portals=("pay.example", "pay.example"))):
        probe = Probe()
        probe.run({"fixed": FINE, "sim": look(tcp())})
        told = probe.run({"fixed": replace(bad, sights=blocked), "sim": look(tcp())})
        assert [one.after for one in told if one.target] == ["unknown"]


def test_dns_only_blocking_leaves_line_and_other_targets_alone() -> None:
    """A false answer for one name is that name's matter."""
    probe = Probe(truth=TRUTH)
    chat = tcp(target="chat", address="151.101.1.1")
    probe.run({"fixed": look(dns(REAL), tcp(), chat)})
    told = probe.run({"fixed": look(dns("10.1.1.1"), tcp(TIMEOUT, address="10.1.1.1"), chat)})
    assert [(one.target, one.after) for one in told] == [("news", "dns_tampered")]


def test_a_target_no_longer_measured_is_forgotten() -> None:
    """Two hours without a sample of it make it unknown, not ok for ever."""
    probe = Probe()
    probe.run({"fixed": FINE})
    told = probe.run({"fixed": UP}, rounds=245)
    assert [(one.target, one.after, one.rule) for one in told] == [("news", "unknown", "hole")]
    assert probe.machine.target_verdicts("fixed") == {}


def test_every_target_verdict_has_a_rule() -> None:
    """The table is complete and its ids are distinct."""
    assert {rule.verdict for rule in TARGET_RULES} == set(TargetVerdict)
    assert len({rule.id for rule in TARGET_RULES}) == len(TARGET_RULES)
