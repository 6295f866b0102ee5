"""Seeded records of realistic noise, for size benches and round trips.

Two lines, one fixed and one mobile, with nine targets each, in rounds of 30 s.
Samples get their numbers in the order in which the checks end, as an event
loop would hand them over: the order that is dearest to store.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from linewatch_core.details import Detail, DnsDetail, HttpDetail
from linewatch_core.ids import BootId
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.modem_words import ModemStep, ModemTrouble
from linewatch_core.records import (
    ROLL_WINDOW_MS,
    Anchor,
    AnchorSource,
    BootStarted,
    BudgetChanged,
    Check,
    ConfigApplied,
    EvBody,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    ModemReset,
    Record,
    Role,
    Roll,
    Sample,
    Stream,
    TargetNote,
    Transition,
    TruthApplied,
    quantise_us,
)

PERIOD_MS = 30_000
TIMEOUT_US = 5_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line's id, its extra delay in ms, and the scale of its noise in ms."""

    id: str
    delay_ms: float
    noise_ms: float


@dataclass(frozen=True, slots=True)
class Probed:
    """A target with the one check that is run on it, and its base round trip in ms."""

    id: str
    role: Role
    check: Check
    base_ms: float
    address: str | None = None
    family: int = 4


LINES = (Line("fixed", 0.0, 0.5), Line("modem-1", 28.0, 2.5))

TARGETS = (
    Probed("gateway", Role.GATEWAY, Check.ICMP, 1.2),
    Probed("resolver", Role.RESOLVER, Check.DNS, 6.0),
    Probed("bank", Role.DOMESTIC, Check.TCP, 9.0, "192.0.2.17"),
    Probed("ministry", Role.DOMESTIC, Check.ICMP, 11.0, "192.0.2.201"),
    Probed("anycast-a", Role.INTERNATIONAL, Check.ICMP, 31.0, "198.51.100.1"),
    Probed("anycast-b", Role.INTERNATIONAL, Check.TCP, 44.0, "2001:db8:53::9", 6),
    Probed("root-k", Role.INTERNATIONAL, Check.DNS, 38.0, "198.51.100.129"),
    Probed("neutral-page", Role.NEUTRAL, Check.HTTP, 52.0, "203.0.113.80"),
    Probed("messenger", Role.SENSITIVE, Check.DNS, 21.0),
)

_FAILURES = {
    Check.ICMP: ("generic_timeout_error",),
    Check.TCP: ("generic_timeout_error", "connection_refused", "connection_reset"),
    Check.DNS: ("dns_nxdomain_error", "generic_timeout_error"),
    Check.HTTP: ("connection_reset", "ssl_unknown_authority", "generic_timeout_error"),
}


def realistic_samples(count: int, seed: int, *, first_seq: int = 1) -> list[Record]:
    """Return `count` raw records, consecutive from `first_seq`; the same for the same seed."""
    rng = random.Random(seed)
    bodies = _samples(rng)
    return [Record(seq, next(bodies)) for seq in range(first_seq, first_seq + count)]


def realistic_rolls(count: int, seed: int, *, first_seq: int = 1) -> list[Record]:
    """Return `count` roll records: every line and target, window after window."""
    rng = random.Random(seed)
    bodies = _rolls(rng)
    return [Record(seq, next(bodies)) for seq in range(first_seq, first_seq + count)]


def realistic_events(count: int, seed: int, *, first_seq: int = 1) -> list[Record]:
    """Return `count` ev records: a boot, then anchors, transitions, gaps and line changes."""
    rng = random.Random(seed)
    bodies = _events(rng)
    return [Record(seq, next(bodies)) for seq in range(first_seq, first_seq + count)]


def told_events(*, first_seq: int = 1) -> list[Record]:
    """Return what a start tells for verdicts: settings, truth, operators, what a line saves."""
    notes = tuple(TargetNote(t.id, t.role, (t.check,)) for t in TARGETS)
    truth = CachedTruth(
        networks={"neutral-page": ("203.0.113.0/24",)},
        issuers={"neutral-page": (_digest("an authority"),)},
        block_addresses=("10.10.34.34",),
        block_pages=(_digest("a block page"),),
        silent_resolvers=("root-k",),
        vantage_up=("messenger",),
        age_ms=3_600_000,
    )
    settings = VerdictSettings(hold=Hold(2, 4, 60_000), target_holds={"target_down": Hold(5)})
    digest = hashlib.sha256(b"configuration").hexdigest()
    modem = LineChanged(9_002, "modem-1", LineKind.MOBILE, True, (4,), ("no_dns",), "99970")
    bodies: tuple[EvBody, ...] = (
        BootStarted(9_000, "0.2.0"),
        ConfigApplied(9_001, digest, PERIOD_MS, notes, settings),
        TruthApplied(9_001, truth),
        LineChanged(9_002, "fixed", LineKind.FIXED, True, (4, 6), (), "Example Telecom"),
        modem,
        BudgetChanged(600_000, "modem-1", 2),
        BudgetChanged(700_000, "modem-1", 0),
        TruthApplied(800_000, CachedTruth()),
        ModemReset(900_000, "modem-1", ModemStep.USB, ModemTrouble.SILENT, True),
    )
    return [Record(seq, body) for seq, body in enumerate(bodies, first_seq)]


def _samples(rng: random.Random) -> Iterator[Sample]:
    round_ms = 61_000 + rng.randrange(900)
    start_ms = round_ms
    while True:
        ended = []
        for line in LINES:
            for place, target in enumerate(TARGETS):
                slot_ms = round_ms + 40 * place
                sample = _sample(rng, line, target, slot_ms, round_ms)
                took_us = TIMEOUT_US if sample.rtt_us is None else sample.rtt_us
                ended.append((sample.mono_ms * 1000 + took_us + sum(sample.timings_us), sample))
        yield from (sample for _, sample in sorted(ended, key=lambda pair: pair[0]))
        start_ms += PERIOD_MS
        round_ms = start_ms + rng.randrange(3)


def _sample(rng: random.Random, line: Line, target: Probed, slot_ms: int, round_ms: int) -> Sample:
    failure = rng.choice(_FAILURES[target.check]) if rng.random() < 0.02 else None
    rtt_us = None if failure else _noisy_us(rng, line, target.base_ms)
    http = target.check is Check.HTTP and rtt_us is not None
    return Sample(
        mono_ms=slot_ms + rng.randrange(4),
        slot_ms=slot_ms,
        round_ms=round_ms,
        line=line.id,
        target=target.id,
        check=target.check,
        family=target.family,
        failure=failure,
        rtt_us=rtt_us,
        timings_us=_timings(rng, line, target, rtt_us) if http and rtt_us else (),
        address=target.address,
        detail=None if failure else _detail(rng, target),
        busy=rng.random() < 0.005,
    )


def _noisy_us(rng: random.Random, line: Line, base_ms: float) -> int:
    queueing_ms = rng.gammavariate(2.0, line.noise_ms)
    if rng.random() < 0.02:
        queueing_ms += rng.expovariate(1 / 40)
    return quantise_us(1000 * (base_ms + line.delay_ms + queueing_ms))


def _timings(rng: random.Random, line: Line, target: Probed, first_byte_us: int) -> tuple[int, ...]:
    dns = _noisy_us(rng, line, 6.0)
    tcp = _noisy_us(rng, line, target.base_ms)
    tls = _noisy_us(rng, line, target.base_ms + 4)
    body = quantise_us(1000 * rng.gammavariate(2.0, 0.3))
    return (dns, tcp, tls, first_byte_us, body)


def _detail(rng: random.Random, target: Probed) -> Detail | None:
    if target.check is Check.DNS:
        return DnsDetail(
            "NOERROR", (f"203.0.113.{len(target.id)}", f"203.0.113.{target.base_ms:.0f}")
        )
    if target.check is Check.HTTP:
        build = rng.randrange(12) // 11
        return HttpDetail(
            status=200,
            body_bytes=15_238 + 3 * build,
            body_sha256=_digest(f"{target.id} body {build}"),
            chain_sha256=_digest(f"{target.id} chain"),
            issuer_sha256=_digest(f"{target.id} issuer"),
        )
    return None


def _rolls(rng: random.Random) -> Iterator[Roll]:
    window = 4
    while True:
        mono_ms = (window + 1) * ROLL_WINDOW_MS + 6_000 + rng.randrange(40)
        for line in LINES:
            for target in TARGETS:
                yield _roll(rng, line, target, window, mono_ms)
        window += 1


def _roll(rng: random.Random, line: Line, target: Probed, window: int, mono_ms: int) -> Roll:
    sent = 10
    failed = sum(rng.random() < 0.02 for _ in range(sent))
    times = sorted(_noisy_us(rng, line, target.base_ms) for _ in range(sent - failed))
    return Roll(
        mono_ms=mono_ms,
        window=window,
        line=line.id,
        target=target.id,
        check=target.check,
        sent=sent,
        answered=sent - failed,
        failures={rng.choice(_FAILURES[target.check]): failed} if failed else {},
        rtt_min_us=times[0],
        rtt_median_us=times[len(times) // 2],
        rtt_p95_us=times[-1],
    )


def _events(rng: random.Random) -> Iterator[EvBody]:
    mono_ms = 9_000
    notes = tuple(TargetNote(t.id, t.role, (t.check,)) for t in TARGETS)
    yield BootStarted(mono_ms, "0.1.0")
    yield Gap(mono_ms, GapReason.REBOOTED, BootId("5b" * 16), 86_400_000, mono_ms)
    yield ConfigApplied(mono_ms, hashlib.sha256(b"configuration").hexdigest(), PERIOD_MS, notes)
    yield LineChanged(mono_ms, "fixed", LineKind.FIXED, True, (4, 6))
    yield LineChanged(mono_ms, "modem-1", LineKind.MOBILE, False, (4,), ("no_dns",))
    before, sample_seq = "ok", 1
    while True:
        mono_ms += 1_000 * rng.randrange(20, 3_000)
        sample_seq += rng.randrange(20, 3_000)
        if rng.random() < 0.6:
            utc_ms = 1_790_000_000_000 + mono_ms + rng.randrange(50)
            yield Anchor(mono_ms, utc_ms, rng.randrange(5, 80), rng.choice(list(AnchorSource)))
            continue
        if rng.random() < 0.1:
            lost = (sample_seq, sample_seq + 199)
            reason, boot = GapReason.STORE_FULL, BootId("7c" * 16)
            yield Gap(mono_ms, reason, boot, mono_ms - 600_000, mono_ms, None, Stream.RAW, *lost)
            continue
        after = rng.choice([v for v in ("ok", "intl_cut", "dark", "filtered") if v != before])
        yield Transition(
            mono_ms=mono_ms,
            line=rng.choice(LINES).id,
            target=None,
            before=before,
            after=after,
            earliest_ms=mono_ms - 60_000,
            latest_ms=mono_ms - 30_000,
            rule="intl-vs-domestic",
            rule_version=1,
            samples=tuple(sample_seq + n for n in range(6)),
        )
        before = after


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
