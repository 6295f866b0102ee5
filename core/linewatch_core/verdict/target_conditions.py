"""The conditions of a target's rules on one line, with their thresholds beside them.

Each is a plain statement about one round's evidence; rules.py puts them in
order. Whoever changes one, or a threshold, raises its rule's version there.
"""

from linewatch_core.details import AlternationDetail, Attempt
from linewatch_core.verdict.target_evidence import (
    NAME_FAILURES,
    TargetEvidence,
    inside,
    is_bogon,
)

ALTERNATIONS_MIN = 3
SLOW_PAIRS_MIN = 5
SLOW_RATIO_MIN = 3.0
TRUTH_AGE_MS_MAX = 30 * 24 * 3_600_000
"""Hosting changes: an older truth would call a move tampering."""
CLOCK_ERROR_MS_MAX = 600_000

_CUT = frozenset({Attempt.RESET, Attempt.DROPPED, Attempt.CLOSED})
_CUT_OR_PAGE = _CUT | {Attempt.OFF_DOMAIN}


def not_judgeable(seen: TargetEvidence) -> bool:
    """The line itself is not in a state in which a target's failure would mean something."""
    return not seen.judgeable


def two_replies(seen: TargetEvidence) -> bool:
    """Two differing replies came to one query, or an address that runs no DNS replied."""
    return seen.names.second is not None or seen.runs_no_dns


def bogus_answer(seen: TargetEvidence) -> bool:
    """The answer is a known block page, or nothing public, which no better path confirms."""
    names = seen.names
    if seen.https_fine:
        return False
    confirmed = names.own & names.encrypted or inside(names.own, seen.networks)
    return seen.known_bad or (any(map(is_bogon, names.own)) and not confirmed)


def foreign_answer(seen: TargetEvidence) -> bool:
    """Outside the truth's networks, TLS to it fails, and another path gives a valid address."""
    names = seen.names
    if not names.own or not seen.networks or inside(names.own, seen.networks):
        return False
    fails = seen.tls_failed or seen.connects is False
    return fails and inside(names.encrypted | names.elsewhere, seen.networks)


def name_denied(seen: TargetEvidence) -> bool:
    """NXDOMAIN or SERVFAIL here, while other resolvers answer."""
    names = seen.names
    return names.own_failure in NAME_FAILURES and bool(names.encrypted | names.elsewhere)


def other_answer(seen: TargetEvidence) -> bool:
    """A mere mismatch: a CDN does that too. Never where TLS proved the site."""
    names = seen.names
    if not names.own or seen.https_fine:
        return False
    if seen.networks:
        return not inside(names.own, seen.networks)
    return bool(names.encrypted) and not names.own & names.encrypted


def intercepted(seen: TargetEvidence) -> bool:
    """A chain that isn't the name's, for another network's name too, and not for a wrong clock."""
    return seen.foreign_issuer and seen.clock_ruled_out


def name_cut(seen: TargetEvidence) -> bool:
    """The ClientHello with this name is reset or dropped, a neutral one on this address fine."""
    return seen.sni is not None and not seen.https_fine and _all_cut(seen.sni, _CUT)


def host_cut(seen: TargetEvidence) -> bool:
    """The request for this host is reset or led astray, a neutral one on this address fine."""
    if seen.host is None:
        return False
    page = seen.host.sensitive_page
    block_page = page is not None and page.body_sha256 in seen.block_pages
    pairs = len(seen.host.neutral)
    led_astray = block_page and pairs >= ALTERNATIONS_MIN and _all_fine(seen.host.neutral)
    return led_astray or _all_cut(seen.host, _CUT_OR_PAGE)


def address_blocked(seen: TargetEvidence) -> bool:
    """SYN unanswered or refused, a neighbour fine, and another line or the server gets through."""
    elsewhere = seen.connects_elsewhere or seen.vantage_up
    return seen.connects is False and seen.neighbour_up is True and bool(elsewhere)


def slowed(seen: TargetEvidence) -> bool:
    """Same address, names in turn: the sensitive one takes three times as long, all of them end."""
    if seen.sni is None or len(seen.sni.sensitive) < SLOW_PAIRS_MIN:
        return False
    ratio = seen.sni.time_ratio
    complete = _all_fine(seen.sni.sensitive) and _all_fine(seen.sni.neutral)
    return complete and ratio is not None and ratio >= SLOW_RATIO_MIN


def down(seen: TargetEvidence) -> bool:
    """SYN unanswered or refused here, and nowhere is it seen to get through."""
    return seen.connects is False and not seen.connects_elsewhere and not seen.vantage_up


def reached(seen: TargetEvidence) -> bool:
    """At least one check answered, and none failed."""
    in_turn = seen.sni is not None and _all_fine(seen.sni.sensitive)
    return seen.failed == 0 and (seen.answered > 0 or in_turn or seen.connects is True)


def nothing_known(_: TargetEvidence) -> bool:
    """Not enough evidence for anything else."""
    return True


def _all_fine(attempts: str) -> bool:
    return bool(attempts) and set(attempts) == {Attempt.FINE}


def _all_cut(pairs: AlternationDetail, cut: frozenset[Attempt]) -> bool:
    enough = min(len(pairs.neutral), len(pairs.sensitive)) >= ALTERNATIONS_MIN
    return enough and _all_fine(pairs.neutral) and {*pairs.sensitive} <= {*map(str, cut)}
