"""A small probe whose rounds are written as looks, and step tables over them.

A look says how one line looks in a round; a step says how many rounds look so,
what must be told meanwhile, and what must be in force afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from linewatch_core.details import Detail, DnsDetail, PortalAnswer, PortalDetail, ThroughputDetail
from linewatch_core.ids import BootId
from linewatch_core.judging import CachedTruth
from linewatch_core.modem_words import MODEM_TARGET, ModemDetail
from linewatch_core.records import Check, GapReason, LineKind, Role, Sample, Transition
from linewatch_core.verdict import LineFacts, Machine, Round, Seen

PERIOD_MS = 30_000
BOOT = BootId("b" * 32)
TIMEOUT = "generic_timeout_error"

DOMESTIC = tuple(f"d{number}" for number in range(5))
ABROAD = tuple(f"i{number}" for number in range(6))
PORTALS = ("p0", "p1", "p2")
SITES = ("news", "chat", "cats")
ROLES: dict[str, Role] = {
    **dict.fromkeys(DOMESTIC, Role.DOMESTIC),
    **dict.fromkeys(ABROAD, Role.INTERNATIONAL),
    **dict.fromkeys(PORTALS, Role.PORTAL),
    "gateway": Role.GATEWAY,
    "outside-resolver": Role.RESOLVER,
    "news": Role.SENSITIVE,
    "chat": Role.SENSITIVE,
    "cats": Role.NEUTRAL,
}


@dataclass(frozen=True)
class Sight:
    """One sample of a target to come: its check, failure and detail."""

    target: str
    check: Check
    failure: str | None = None
    detail: Detail | None = None
    address: str | None = "93.184.216.34"
    timings_us: tuple[int, ...] = ()


@dataclass(frozen=True)
class Look:
    """How a line looks: which anchors answer, how the gateway does, and what else is seen.

    `domestic` and `abroad` are how many answer, or which; `udp` whether the outside
    resolver does; `gateway` its failure or None, "absent" for none.
    """

    kind: LineKind = LineKind.FIXED
    domestic: int | Sequence[str] = 5
    abroad: int | Sequence[str] = 6
    udp: bool = True
    gateway: str | None = None
    icmp: bool = True
    problems: tuple[str, ...] = ()
    operator: str | None = None
    modem: ModemDetail | None = None
    portals: Sequence[str] = ()
    random_resolves: bool | None = None
    goodput: Sequence[float] = ()
    sights: tuple[Sight, ...] = ()
    silent: bool = False


UP = Look()
CUT = Look(domestic=0, abroad=0, udp=False)
INTL_CUT = Look(abroad=0, udp=False)


def mobile(look: Look = UP, **changes: object) -> Look:
    """Return a look as a mobile line's."""
    return replace(look, kind=LineKind.MOBILE, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Step:
    """`rounds` rounds that look so; `told` in them, in order; `says` in force afterwards."""

    looks: Mapping[str, Look]
    says: Mapping[str, str]
    rounds: int = 3
    told: Sequence[str] = ()
    skip_ms: int = 0
    gap: GapReason | None = None
    boot: str = BOOT


@dataclass
class Probe:
    """Feeds a machine with rounds made of looks."""

    machine: Machine = field(default_factory=Machine)
    now_ms: int = 0
    seq: int = 0
    period_ms: int = PERIOD_MS
    truth: CachedTruth = field(default_factory=CachedTruth)
    clock_error_ms: int | None = 50
    hour: int | None = 3
    rounds: list[Round] = field(default_factory=list)

    def round(
        self, looks: Mapping[str, Look], gap: GapReason | None = None, boot: str = BOOT
    ) -> Round:
        """Return the next round."""
        self.now_ms += self.period_ms
        samples: list[Seen] = []
        for name, look in looks.items():
            for place, sample in enumerate(self._samples(name, look)):
                self.seq += 1
                at_ms = self.now_ms + 400 * place
                samples.append(Seen(self.seq, _placed(sample, at_ms, self.now_ms)))
        made = Round(
            boot=boot,
            round_ms=self.now_ms,
            samples=tuple(samples),
            lines={
                name: LineFacts(
                    look.kind, not look.problems, look.problems, look.operator, look.modem
                )
                for name, look in looks.items()
            },
            roles=ROLES,
            period_ms=self.period_ms,
            truth=self.truth,
            clock_error_ms=self.clock_error_ms,
            hour=self.hour,
            gap=gap,
        )
        self.rounds.append(made)
        return made

    def run(self, looks: Mapping[str, Look], rounds: int = 3) -> list[Transition]:
        """Feed rounds that look so; return all transitions."""
        told = []
        for _ in range(rounds):
            told += self.machine.handle(self.round(looks))
        return told

    def walk(self, steps: Sequence[Step]) -> None:
        """Go through a step table and assert each row."""
        for number, step in enumerate(steps):
            self.now_ms += step.skip_ms
            told: list[Transition] = []
            for index in range(step.rounds):
                gap = step.gap if index == 0 else None
                told += self.machine.handle(self.round(step.looks, gap, step.boot))
            assert [short(one) for one in told] == list(step.told), f"told in step {number}"
            assert self._in_force(step) == dict(step.says), f"in force after step {number}"

    def _in_force(self, step: Step) -> dict[str, str]:
        """Return the verdicts of the lines and targets that the step names."""
        found: dict[str, str] = {}
        lines = self.machine.verdicts()
        for name in step.says:
            line, _, target = name.partition("/")
            if target:
                found[name] = self.machine.target_verdicts(line)[target].value
            else:
                found[name] = lines[line].value
        return found

    def _samples(self, line: str, look: Look) -> list[Sample]:
        if look.silent:
            return []
        samples = []
        if look.gateway != "absent":
            samples.append(_sample(line, "gateway", Check.ICMP, look.gateway, address=None))
        for hosts, up, check in (
            (DOMESTIC, _which(DOMESTIC, look.domestic), Check.TCP),
            (ABROAD, _which(ABROAD, look.abroad), None),
        ):
            for place, host in enumerate(hosts):
                kind = check or (Check.ICMP if place % 2 else Check.TCP)
                fails = host not in up or (kind is Check.ICMP and not look.icmp)
                address = f"198.51.{100 if check else 101}.{place}"
                samples.append(_sample(line, host, kind, TIMEOUT if fails else None, address))
        failure = None if look.udp else TIMEOUT
        samples.append(_sample(line, "outside-resolver", Check.DNS, failure, "203.0.113.53"))
        for portal, page in zip(PORTALS, look.portals, strict=False):
            samples.append(_portal(line, portal, page))
        if look.random_resolves is not None:
            names = ("203.0.113.99",) if look.random_resolves else ()
            detail = DnsDetail("NOERROR" if names else "NXDOMAIN", names)
            one = _sample(line, "random", Check.RANDOM_NAME, None, address=None)
            samples.append(_with(one, detail=detail))
        for place, rate in enumerate(look.goodput):
            detail_rate = ThroughputDetail(int(rate), 1_000_000, int(rate))
            one = _sample(line, f"i{place}", Check.THROUGHPUT, None, f"198.51.{place}.9")
            samples.append(_with(one, detail=detail_rate))
        if look.modem is not None:
            samples.append(Sample(0, 0, 0, line, MODEM_TARGET, Check.MODEM, 0, detail=look.modem))
        for sight in look.sights:
            one = _sample(line, sight.target, sight.check, sight.failure, sight.address)
            samples.append(_with(one, detail=sight.detail, timings_us=sight.timings_us))
        return samples


def short(told: Transition) -> str:
    """Return a transition as `line[/target]: before > after`."""
    name = told.line if told.target is None else f"{told.line}/{told.target}"
    return f"{name}: {told.before} > {told.after}"


def _which(hosts: Sequence[str], up: int | Sequence[str]) -> Sequence[str]:
    return hosts[:up] if isinstance(up, int) else up


def _sample(
    line: str, target: str, check: Check, failure: str | None, address: str | None
) -> Sample:
    rtt_us = 40_000 if failure is None else None
    return Sample(0, 0, 0, line, target, check, 4, failure, rtt_us, address=address)


def _portal(line: str, target: str, page: str) -> Sample:
    answer = PortalAnswer.REDIRECTED if page else PortalAnswer.FINE
    location = f"{page}/pay" if page else None
    detail = PortalDetail(answer, 302 if page else 204, 0, "", location)
    return _with(_sample(line, target, Check.PORTAL, None, "203.0.113.80"), detail=detail)


def _with(sample: Sample, **changes: object) -> Sample:
    fields = {name: getattr(sample, name) for name in sample.__struct_fields__}
    return Sample(**{**fields, **changes})


def _placed(sample: Sample, at_ms: int, round_ms: int) -> Sample:
    return _with(sample, mono_ms=at_ms, slot_ms=at_ms, round_ms=round_ms)
