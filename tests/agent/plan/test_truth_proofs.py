"""What a round proves of where targets are, and what it does not."""

from dataclasses import replace

import pytest

from linewatch_agent.plan.truth import Proof
from linewatch_agent.plan.truth_proofs import proofs_of
from linewatch_core.details import AlternationDetail, HttpDetail
from linewatch_core.judging import CachedTruth
from linewatch_core.records import Check
from linewatch_core.verdict import LineVerdict, Round, TargetVerdict
from tests.core.verdict.scenes import UP, Look, Probe, Sight

NEWS_AT, CATS_AT = "93.184.216.34", "2606:2800:21:1::9"
CHAIN = "c" * 16


def page(issuer: str = "1", status: int = 200, chain: str | None = CHAIN) -> HttpDetail:
    return HttpDetail(status, 9, "a" * 16, None, chain, issuer * 16)


def http(target: str, address: str | None, detail: HttpDetail, failure: str | None = None) -> Sight:
    return Sight(target, Check.HTTP, failure, detail, address, (0, 40_000))


def sni(detail: HttpDetail | None) -> Sight:
    turns = AlternationDetail("fff", "rrr", neutral_page=page(), sensitive_page=detail)
    return Sight("news", Check.SNI, None, turns, NEWS_AT)


def round_of(*sights: Sight) -> Round:
    return Probe().round({"fixed": replace(UP, sights=sights), "sim": Look()})


OK = {"fixed": LineVerdict.OK}
NEWS = Proof("news", "93.184.216.0/24", "1" * 16)


@pytest.mark.parametrize(
    ("sight", "proofs"),
    [
        (http("news", NEWS_AT, page()), [NEWS]),
        (http("cats", CATS_AT, page("2")), [Proof("cats", "2606:2800:21::/48", "2" * 16)]),
        (sni(page()), [NEWS]),
        # Plain HTTP, a chain that was refused, and a private address prove nothing.
        (http("news", NEWS_AT, page(chain=None)), []),
        (http("news", NEWS_AT, page(status=0), "ssl_invalid_hostname"), []),
        (http("news", None, page()), []),
        # Nor do an alternation in which only the neutral name answered, or a refused chain.
        (sni(None), []),
        (sni(page(status=0)), []),
        (sni(page(chain=None)), []),
        # TCP says nothing of who answered.
        (Sight("news", Check.TCP, address=NEWS_AT), []),
    ],
)
def test_what_one_sample_proves(sight: Sight, proofs: list[Proof]) -> None:
    """Only a page over verified TLS tells where its name lies."""
    assert list(proofs_of(round_of(sight), OK, {})) == proofs


@pytest.mark.parametrize("verdict", [one for one in LineVerdict if one is not LineVerdict.OK])
def test_a_line_that_is_not_ok_proves_nothing(verdict: LineVerdict) -> None:
    """Not even `throttled` or `unknown`: something is wrong, or nobody knows."""
    now = round_of(http("news", NEWS_AT, page()))
    assert not list(proofs_of(now, {"fixed": verdict, "sim": LineVerdict.OK}, {}))


def test_a_target_that_is_not_ok_is_not_trusted() -> None:
    """Blocked, suspect or not judged yet: its proof counts against what is learned."""
    now = round_of(http("news", NEWS_AT, page()))
    for verdict in TargetVerdict:
        (proof,) = proofs_of(now, OK, {"fixed": {"news": verdict}})
        assert proof.trusted == (verdict is TargetVerdict.OK)


def test_a_sign_of_interception_is_not_trusted_from_its_first_round() -> None:
    """Before any verdict is told: one strange authority on two unrelated names."""
    truth = CachedTruth(issuers={"news": ("1" * 16,), "cats": ("2" * 16,)})
    strange = (http("news", NEWS_AT, page("e")), http("cats", CATS_AT, page("e")))
    both = replace(round_of(*strange), truth=truth)
    assert [one.trusted for one in proofs_of(both, OK, {})] == [False, False]
    single = replace(round_of(strange[0], http("cats", CATS_AT, page("2"))), truth=truth)
    assert [one.trusted for one in proofs_of(single, OK, {})] == [True, True]
