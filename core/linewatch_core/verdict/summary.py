"""From a round and what is remembered to a line's evidence, and back into memory.

What is normal (goodput, signal) is learned only in rounds that say `ok` of a
line that is `ok`; everything else is taken in from every round.
"""

from collections.abc import Sequence

from linewatch_core.details import ThroughputDetail
from linewatch_core.judging import VerdictSettings
from linewatch_core.records import Check, Role, Sample
from linewatch_core.verdict.baseline import Baseline
from linewatch_core.verdict.evidence import (
    Goodput,
    LineEvidence,
    gateway,
    host_set,
    is_of_gateway,
    is_portal_sight,
    portal,
)
from linewatch_core.verdict.inputs import Round, Seen
from linewatch_core.verdict.line_conditions import GOODPUT_RATIO_MAX
from linewatch_core.verdict.memory import LineMemory, Rate
from linewatch_core.verdict.states import LineVerdict
from linewatch_core.verdict.target_evidence import network_of
from linewatch_core.verdict.turns import Outcome, keep, note, series_of

RATES_MAX = 64
SIGHTS_MAX = 64
MODEM_VERDICTS = (LineVerdict.MODEM, LineVerdict.RADIO_LOSS, LineVerdict.DATA_CUT)
"""Those that rest on what the modem said."""


def take_in(line: LineMemory, seen: Sequence[Seen], now: Round, settings: VerdictSettings) -> None:
    """Remember a round's outcomes: series, goodput, portal checks, whether the gateway answers."""
    for one in seen:
        sample = one.sample
        if sample.check is not Check.TRACE:  # it runs beside a change, and dates none
            note(line.series, sample)
        if is_portal_sight(one, now.roles):
            line.sights[series_of(sample)] = one
        rate = _rate(one)
        if rate is not None:
            line.rates.pop(sample.target, None)
            line.rates[sample.target] = rate
            _note_pace(line, sample, rate, now, settings)
            if len(line.rates) > RATES_MAX:
                del line.rates[next(iter(line.rates))]
    _note_gateway(line, seen, now)
    oldest_ms = now.round_ms - settings.carry_ms
    fresh = ((key, one) for key, one in line.sights.items() if one.sample.mono_ms >= oldest_ms)
    line.sights = dict(sorted(fresh)[:SIGHTS_MAX])


def line_evidence(
    name: str, now: Round, seen: Sequence[Seen], line: LineMemory, settings: VerdictSettings
) -> LineEvidence:
    """Return all that a round says of a line."""
    facts = now.lines[name]
    below_db = None
    if facts.modem is not None and facts.modem.signal_dbm is not None:
        normal = line.signal.normal(hour=None, settings=settings)
        below_db = None if normal is None else normal - facts.modem.signal_dbm
    sights = [one for one in seen if is_portal_sight(one, now.roles)]
    return LineEvidence(
        line=name,
        facts=facts,
        domestic=host_set(seen, now.roles, Role.DOMESTIC),
        international=host_set(seen, now.roles, Role.INTERNATIONAL, resolvers=True),
        gateway=gateway(seen, now.roles, misses=line.gateway_misses),
        portal=portal(line.sights.values(), now.roles, fresh=bool(sights)),
        goodput=_goodput(line, now, settings),
        signal_below_db=below_db,
        modem_seqs=tuple(sorted(o.seq for o in seen if o.sample.check is Check.MODEM)),
        until_ms=max([now.round_ms, *(one.sample.mono_ms for one in seen)]),
    )


def keep_normal(
    line: LineMemory, seen: Sequence[Seen], now: Round, elapsed_ms: int, settings: VerdictSettings
) -> None:
    """Let a line's ok time pass, and keep what was measured in this round as normal."""
    line.ok_ms += elapsed_ms
    facts = now.lines[seen[0].sample.line] if seen else None
    if facts is not None and facts.modem is not None and facts.modem.signal_dbm is not None:
        line.signal.add(facts.modem.signal_dbm, hour=None, ok_ms=line.ok_ms, settings=settings)
    for one in seen:
        rate = _rate(one)
        if rate is None:
            continue
        target = one.sample.target
        if target not in line.goodput and len(line.goodput) >= RATES_MAX:
            continue
        baseline = line.goodput.setdefault(target, Baseline())
        baseline.add(rate.bytes_per_s, hour=now.hour, ok_ms=line.ok_ms, settings=settings)


def deciding(verdict: LineVerdict, own: LineEvidence) -> tuple[int, ...]:
    """Return the sequence numbers of the samples that a verdict rests on, ascending."""
    if verdict is LineVerdict.PORTAL:
        return own.portal.seqs
    seqs = {*own.domestic.seqs, *own.international.seqs}
    if verdict is LineVerdict.LINK:
        seqs |= set(own.gateway.seqs)
    if verdict is LineVerdict.THROTTLED:
        seqs = set(own.goodput.seqs)
    if verdict in MODEM_VERDICTS:
        seqs |= set(own.modem_seqs)
    return tuple(sorted(seqs))


def _rate(one: Seen) -> Rate | None:
    """Return the goodput that a sample shows; none while our own upload was in its way."""
    sample = one.sample
    detail = sample.detail
    if not isinstance(detail, ThroughputDetail) or sample.busy or detail.bytes_per_s is None:
        return None
    network = sample.target if sample.address is None else network_of(sample.address)
    return Rate(sample.mono_ms, detail.bytes_per_s, network, one.seq)


def _note_gateway(line: LineMemory, seen: Sequence[Seen], now: Round) -> None:
    asked = [one for one in seen if is_of_gateway(one, now.roles)]
    if any(one.sample.failure is None for one in asked):
        line.gateway_misses = 0
    elif asked and line.gateway_misses is not None:
        line.gateway_misses += 1


def _note_pace(
    line: LineMemory, sample: Sample, rate: Rate, now: Round, settings: VerdictSettings
) -> None:
    """Remember whether a goodput was low: good goodput is no chance, low goodput may be."""
    ratio = _ratio(line, sample.target, rate, now, settings)
    if ratio is None or not isinstance(sample.detail, ThroughputDetail):
        return
    fine = ratio >= GOODPUT_RATIO_MAX
    # The phases, and at the latest then what was counted: it had ended by then.
    took_ms = -(-(sum(sample.timings_us) + sample.detail.duration_us) // 1000)
    keep(line.paces, sample.target, Outcome(sample.mono_ms, took_ms, fine, fine, fine))


def _ratio(
    line: LineMemory, target: str, rate: Rate, now: Round, settings: VerdictSettings
) -> float | None:
    baseline = line.goodput.get(target)
    normal = None if baseline is None else baseline.normal(hour=now.hour, settings=settings)
    return rate.bytes_per_s / normal if normal else None


def _goodput(line: LineMemory, now: Round, settings: VerdictSettings) -> Goodput:
    """Hold recent goodput against its normal; of anchors in one network the best counts."""
    ratios: dict[str, float] = {}
    seqs = []
    for target, rate in line.rates.items():
        if now.round_ms - rate.mono_ms > settings.carry_ms:
            continue
        ratio = _ratio(line, target, rate, now, settings)
        if ratio is None:
            continue
        ratios[rate.network] = max(ratio, ratios.get(rate.network, 0.0))
        seqs.append(rate.seq)
    return Goodput(tuple(ratios[network] for network in sorted(ratios)), tuple(sorted(seqs)))
