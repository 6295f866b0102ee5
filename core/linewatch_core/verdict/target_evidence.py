"""What a round says of one target on one line, with its contrasts.

Checks that are not run in every round (alternations, contrast, neighbour) are
carried over from an earlier one for a while; the machine hands them in with
this round's. No thresholds here; they stand beside their rules.
"""

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linewatch_core.details import (
    AlternationDetail,
    ContrastDetail,
    Detail,
    DnsDetail,
    HttpDetail,
    NeighbourDetail,
)
from linewatch_core.judging import CachedTruth
from linewatch_core.records import Check, Sample
from linewatch_core.targets import GATEWAY_HOST
from linewatch_core.verdict.answers import REFUSED, connected
from linewatch_core.verdict.inputs import Seen

UNKNOWN_AUTHORITY = "ssl_unknown_authority"
TLS_FAILURES = frozenset(
    {UNKNOWN_AUTHORITY, "ssl_invalid_hostname", "ssl_invalid_certificate", "ssl_failed_handshake"}
)
NAME_FAILURES = frozenset({"dns_nxdomain_error", "dns_servfail_error"})
SLOW_CHECKS = frozenset({Check.SNI, Check.HOST, Check.CONTRAST, Check.NEIGHBOUR})


@dataclass(frozen=True, slots=True)
class Names:
    """What name servers said of a target's name.

    Attributes:
        own: addresses from the line's own resolver; empty if none.
        own_failure: why there are none.
        second: of a second, differing reply to the same query; None without one.
        encrypted: addresses heard over TLS or HTTPS.
        elsewhere: those heard from another resolver in the clear, or on another line.
    """

    own: frozenset[str] = frozenset()
    own_failure: str | None = None
    second: frozenset[str] | None = None
    encrypted: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TargetEvidence:
    """All that a round says of one target on one line.

    Attributes:
        judgeable: the line itself works, so that a failure is the target's own.
        connects: a TCP handshake was completed; None: not tried.
        connects_elsewhere: the same on another line of the probe in this round.
        https_fine: a page came over verified TLS in this round.
        tls_failed: TLS to the target ended in a TLS failure.
        answered, failed: checks of this round with and without an answer; many sites
            drop ICMP, so that an echo without a reply is no failure here.
        foreign_issuer: this target and one in another network were shown a chain to an
            unknown root on this line.
        clock_ruled_out: the system clock is known to be right.
        networks: where the truth says its addresses lie; empty: not known.
        known_bad: an answer is the address of a known block page, or a page is one.
        runs_no_dns: a DNS reply came from an address that runs none.
        sni, host: the last alternations.
        neighbour_up: a neighbouring address answers; None: not asked.
    """

    target: str
    judgeable: bool
    names: Names
    connects: bool | None = None
    connects_elsewhere: bool | None = None
    vantage_up: bool = False
    https_fine: bool = False
    tls_failed: bool = False
    answered: int = 0
    failed: int = 0
    foreign_issuer: bool = False
    clock_ruled_out: bool = False
    networks: tuple[str, ...] = ()
    known_bad: bool = False
    runs_no_dns: bool = False
    sni: AlternationDetail | None = None
    host: AlternationDetail | None = None
    block_pages: tuple[str, ...] = ()
    neighbour_up: bool | None = None


def names_of(mine: Sequence[Seen], others: Iterable[Seen]) -> Names:
    """Return what was heard of a target's name on this line, and on `others`."""
    own: set[str] = set()
    elsewhere: set[str] = set()
    encrypted: set[str] = set()
    failure: str | None = None
    second: frozenset[str] | None = None
    asked_now = any(one.sample.check is Check.DNS for one in mine)
    for one in mine:
        match one.sample.detail:
            case DnsDetail() as detail if one.sample.check is Check.DNS:
                own |= set(detail.answers)
                if detail.second is not None and set(detail.second) != set(detail.answers):
                    second = frozenset(detail.second)
                failure = one.sample.failure or failure
            case ContrastDetail() as detail:
                if not asked_now:  # else it may be older than what the resolver says now
                    own |= set(detail.own.addresses)
                    failure = detail.own.failure
                elsewhere |= set(detail.plain.addresses)
                encrypted |= {*detail.tls.addresses, *detail.https.addresses}
    for one in others:
        if one.sample.check is Check.DNS and isinstance(one.sample.detail, DnsDetail):
            elsewhere |= set(one.sample.detail.answers)
    return Names(
        own=frozenset(own),
        own_failure=None if own else failure,
        second=second,
        encrypted=frozenset(encrypted),
        elsewhere=frozenset(elsewhere),
    )


def foreign_issuers(seen: Iterable[Seen], truth: CachedTruth) -> frozenset[str]:
    """Return the targets whose chain is not theirs, if an unrelated name's isn't either.

    A chain is not its name's if its root is unknown; or if it was accepted, but claims
    another authority than all that the truth knows of the target, and the same one as the
    unrelated name's. Names are unrelated if they share no network. A chain that was
    refused for another reason (expired, another site's) is no sign of interception.
    """
    shown: dict[str, dict[str, set[str]]] = {}
    for one in seen:
        sign = _foreign_sign(one.sample, truth)
        if sign is not None and one.sample.address is not None:
            networks = shown.setdefault(sign, {}).setdefault(one.sample.target, set())
            networks.add(network_of(one.sample.address))
    return frozenset(
        target
        for names in shown.values()
        for target, networks in names.items()
        if any(networks.isdisjoint(others) for others in names.values())
    )


def _foreign_sign(sample: Sample, truth: CachedTruth) -> str | None:
    """Return what is wrong with a chain's authority: "unknown", or the one that is not its own."""
    if sample.failure == UNKNOWN_AUTHORITY:
        return "unknown"
    page, known = verified_page(sample), truth.issuers.get(sample.target)
    if page is None or not known or page.issuer_sha256 in known:
        return None
    return page.issuer_sha256


@functools.lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return the /24 or /48 of an address: a coarse stand-in for "whose it is"."""
    parsed = parse(address)
    if parsed is None:
        return address
    bits = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, bits), strict=False))


def parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address as a value, or None if the text is none."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def is_bogon(address: str) -> bool:
    """Return whether an answer cannot be a public site: private, reserved, the line's gateway."""
    parsed = parse(address)
    if parsed is None:
        return address == GATEWAY_HOST
    return not parsed.is_global


def inside(addresses: Iterable[str], networks: Sequence[str]) -> bool:
    """Return whether any address lies in any of the networks; bad texts lie in none."""
    nets = []
    for text in networks:
        try:
            nets.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    parsed = [parse(address) for address in addresses]
    return any(one in net for one in parsed if one is not None for net in nets)


def target_evidence(
    target: str,
    *,
    mine: Sequence[Seen],
    others: Sequence[Seen],
    truth: CachedTruth,
    foreign: frozenset[str],
    judgeable: bool,
    clock_ruled_out: bool,
) -> TargetEvidence:
    """Return the evidence of one target.

    Args:
        mine: the samples of target and line: this round's, and slow checks carried over.
        others: this round's samples of the target on other lines.
        truth: empty if too old to count.
        foreign: what `foreign_issuers` says of this line.
    """
    now = [one.sample for one in mine if one.sample.check not in SLOW_CHECKS]
    round_ms = max((one.sample.round_ms for one in mine), default=0)
    of_round = [one.sample for one in mine if one.sample.round_ms == round_ms]
    details = {one.sample.check: one.sample.detail for one in mine}
    neighbour = details.get(Check.NEIGHBOUR)
    pages = [sample.detail for sample in now if isinstance(sample.detail, HttpDetail)]
    names = names_of(mine, others)
    return TargetEvidence(
        target=target,
        judgeable=judgeable,
        names=names,
        connects=_connects(mine),
        connects_elsewhere=_any(connected(one.sample) for one in others),
        vantage_up=target in truth.vantage_up,
        https_fine=any(verified_page(sample) is not None for sample in of_round),
        tls_failed=any(sample.failure in TLS_FAILURES for sample in now),
        answered=sum(sample.failure is None for sample in now),
        failed=sum(one.failure is not None and one.check is not Check.ICMP for one in now),
        foreign_issuer=target in foreign,
        clock_ruled_out=clock_ruled_out,
        networks=truth.networks.get(target, ()),
        known_bad=bool(names.own & set(truth.block_addresses))
        or any(page.body_sha256 in truth.block_pages for page in pages),
        runs_no_dns=target in truth.silent_resolvers
        and any(sample.check is Check.DNS and sample.detail is not None for sample in now),
        sni=_alternation(details.get(Check.SNI)),
        host=_alternation(details.get(Check.HOST)),
        block_pages=truth.block_pages,
        neighbour_up=neighbour.failure in (None, REFUSED)
        if isinstance(neighbour, NeighbourDetail)
        else None,
    )


def https_fine(sample: Sample) -> bool:
    """Return whether a page came over TLS whose chain was verified."""
    detail = sample.detail
    return (
        sample.check is Check.HTTP
        and sample.failure is None
        and isinstance(detail, HttpDetail)
        and detail.chain_sha256 is not None
    )


def verified_page(sample: Sample) -> HttpDetail | None:
    """Return the page of the target's own name that came over verified TLS, if one did.

    Of an alternation that is the sensitive name's: no request is made on a refused chain.
    """
    if https_fine(sample) and isinstance(sample.detail, HttpDetail):
        return sample.detail
    if sample.check is not Check.SNI or not isinstance(sample.detail, AlternationDetail):
        return None
    page = sample.detail.sensitive_page
    return page if page is not None and page.status and page.chain_sha256 else None


def _alternation(detail: Detail | None) -> AlternationDetail | None:
    return detail if isinstance(detail, AlternationDetail) else None


def _connects(mine: Sequence[Seen]) -> bool | None:
    """Return whether the target was connected to, by a slow check only if by no other."""
    now = _any(connected(one.sample) for one in mine if one.sample.check not in SLOW_CHECKS)
    return _any(connected(one.sample) for one in mine) if now is None else now


def _any(outcomes: Iterable[bool | None]) -> bool | None:
    known = [outcome for outcome in outcomes if outcome is not None]
    return any(known) if known else None


def by_target(seen: Iterable[Seen]) -> Mapping[str, list[Seen]]:
    """Return samples by their target, in order."""
    found: dict[str, list[Seen]] = {}
    for one in seen:
        found.setdefault(one.sample.target, []).append(one)
    return found
