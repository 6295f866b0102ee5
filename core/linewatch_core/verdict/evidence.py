"""What a round says of a line, summed up: sets of hosts, gateway, portal, goodput, modem.

Pure summaries without a threshold; what follows from them is in rules.py. Each
keeps the sequence numbers it was made of, for the transition's record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from linewatch_core.details import DnsDetail, HttpDetail, PortalAnswer, PortalDetail
from linewatch_core.modem_words import Registration, Sim
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.verdict.answers import SILENT_ARP, Protocol, answered, protocol_of
from linewatch_core.verdict.inputs import LineFacts, Seen


@dataclass(frozen=True, slots=True)
class HostSet:
    """A set of anchors in one round.

    Attributes:
        configured: how many targets of that role there are, asked or not.
        hosts: those asked by ICMP or TCP.
        up: of these, the ones that answered by ICMP or TCP.
        answering: all that answered by any protocol, outside resolvers among them.
        asked: per protocol, how many were asked and how many answered.
        seqs: the samples looked at.
    """

    configured: int = 0
    hosts: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()
    answering: frozenset[str] = frozenset()
    asked: Mapping[Protocol, tuple[int, int]] | None = None
    seqs: tuple[int, ...] = ()

    @property
    def share_up(self) -> float:
        """The share that answers by ICMP or TCP, 0 to 1; 0 if none was asked."""
        return len(self.up) / len(self.hosts) if self.hosts else 0.0

    @property
    def share_answering(self) -> float:
        """The share that answers by any protocol; 0 if none was asked."""
        asked = len(self.hosts | self.answering)
        return len(self.answering) / asked if asked else 0.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The line's next hop.

    Attributes:
        asked, answered: in this round.
        misses: in how many rounds in a row, this one too, it was asked in vain since it
            answered; None: it never did in this boot.
        no_arp: it does not answer ARP either.
    """

    asked: bool = False
    answered: bool = False
    misses: int | None = None
    no_arp: bool = False
    seqs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Portal:
    """Portal checks and random names: how many were falsified, and onto which pages.

    Attributes:
        fine, falsified: targets whose known answer came, and did not come.
        fresh: any of them was asked in this round.
        pages: the pages that falsified ones landed on.
        random_resolves: names that cannot exist got an address; None: not asked.
    """

    fine: int = 0
    falsified: int = 0
    fresh: bool = False
    pages: frozenset[str] = frozenset()
    random_resolves: bool | None = None
    seqs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Goodput:
    """Recent goodput against its own normal: ratios, one per network measured."""

    ratios: tuple[float, ...] = ()
    seqs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LineEvidence:
    """All that a round says of one line.

    Attributes:
        signal_below_db: how far the signal is from its own median, in dB (positive or
            negative); None: not known, or no normal yet.
        until_ms: when its last sample began.
        modem_seqs: the samples with what the modem said.
    """

    line: str
    facts: LineFacts
    domestic: HostSet
    international: HostSet
    gateway: Gateway
    portal: Portal
    goodput: Goodput
    signal_below_db: float | None = None
    until_ms: int = 0
    modem_seqs: tuple[int, ...] = ()

    @property
    def operator(self) -> str:
        """Who runs the line; of lines whose operator nobody told, one per kind."""
        return self.facts.operator or f"some {self.facts.kind.value} operator"

    @property
    def registered_home(self) -> bool:
        """Whether the modem says that the network at home took it in."""
        modem = self.facts.modem
        return (
            modem is not None
            and modem.present
            and modem.sim in (None, Sim.READY)
            and modem.registration is Registration.HOME
        )

    @property
    def mobile(self) -> bool:
        """Whether the line is a mobile one."""
        return self.facts.kind is LineKind.MOBILE


def host_set(
    seen: Iterable[Seen], roles: Mapping[str, Role], role: Role, *, resolvers: bool = False
) -> HostSet:
    """Return how the hosts of one role answered.

    `resolvers`: count outside resolvers too, as witnesses by UDP.
    """
    asked: dict[tuple[Protocol, str], bool] = {}
    seqs = []
    for one in seen:
        sample = one.sample
        own = roles.get(sample.target)
        if own is not role and not (resolvers and own is Role.RESOLVER):
            continue
        protocol = protocol_of(sample, own)
        if protocol is None:
            continue
        key = (protocol, sample.target)
        asked[key] = asked.get(key, False) or answered(sample)
        seqs.append(one.seq)
    counts: dict[Protocol, tuple[int, int]] = {}
    for (protocol, _), good in asked.items():
        total, up = counts.get(protocol, (0, 0))
        counts[protocol] = (total + 1, up + good)
    direct = {key: good for key, good in asked.items() if key[0] is not Protocol.UDP}
    return HostSet(
        configured=sum(each is role for each in roles.values()),
        hosts=frozenset(target for _, target in direct),
        up=frozenset(target for (_, target), good in direct.items() if good),
        answering=frozenset(target for (_, target), good in asked.items() if good),
        asked=counts,
        seqs=tuple(sorted(seqs)),
    )


def gateway(seen: Iterable[Seen], roles: Mapping[str, Role], *, misses: int | None) -> Gateway:
    """Return how the next hop answered; see Gateway for `misses`."""
    mine = [one for one in seen if is_of_gateway(one, roles)]
    return Gateway(
        asked=bool(mine),
        answered=any(one.sample.failure is None for one in mine),
        misses=misses,
        no_arp=bool(mine) and all(one.sample.failure == SILENT_ARP for one in mine),
        seqs=tuple(sorted(one.seq for one in mine)),
    )


def is_of_gateway(one: Seen, roles: Mapping[str, Role]) -> bool:
    """Return whether a sample asked the next hop; what a modem says of itself never did."""
    return roles.get(one.sample.target) is Role.GATEWAY and one.sample.check is not Check.MODEM


def is_portal_sight(one: Seen, roles: Mapping[str, Role]) -> bool:
    """Return whether a sample may tell a portal: these are not made in every round."""
    sample = one.sample
    if sample.check is Check.RANDOM_NAME:
        return True
    return roles.get(sample.target) is Role.PORTAL and sample.check in (Check.PORTAL, Check.HTTP)


def portal(seen: Iterable[Seen], roles: Mapping[str, Role], *, fresh: bool) -> Portal:
    """Return what portal checks and random names met; `fresh`: any of it in this round."""
    fine, falsified = set(), set()
    pages: set[str] = set()
    resolves: bool | None = None
    seqs = []
    for one in seen:
        sample = one.sample
        if sample.check is Check.RANDOM_NAME:
            names = sample.detail.answers if isinstance(sample.detail, DnsDetail) else ()
            if sample.detail is not None:
                resolves = bool(resolves) or bool(names)
                seqs.append(one.seq)
            continue
        page = _falsified_page(sample.detail)
        if roles.get(sample.target) is not Role.PORTAL or page is None:
            continue
        seqs.append(one.seq)
        if page:
            falsified.add(sample.target)
            pages.add(page)
        else:
            fine.add(sample.target)
    return Portal(
        fine=len(fine - falsified),
        falsified=len(falsified),
        fresh=fresh,
        pages=frozenset(pages),
        random_resolves=resolves,
        seqs=tuple(sorted(seqs)),
    )


def _falsified_page(detail: object) -> str | None:
    """Return the page a portal check landed on, "" if on its own; None: that isn't known."""
    match detail:
        case PortalDetail(answer=PortalAnswer.FINE):
            return ""
        case PortalDetail():
            return _page(detail.location, detail.body_sha256)
        case HttpDetail() if 300 <= detail.status < 400 or detail.status == 511:
            return _page(detail.location, detail.body_sha256)
        case HttpDetail(status=204):
            return ""
    return None


def _page(location: str | None, body_sha256: str) -> str:
    return location.split("/", 1)[0] if location else f"body {body_sha256}"
