"""When a change happened: the interval holds the true moment, and is as narrow as the samples."""

from dataclasses import replace

import msgspec
import pytest

from linewatch_core.details import ThroughputDetail
from linewatch_core.records import Sample, Transition
from linewatch_core.verdict import Machine, Round, Seen
from linewatch_core.verdict.turns import IN_FLIGHT_MS
from tests.core.verdict.scenes import CUT, TIMEOUT, UP, Look, Probe, mobile


def _changed(made: Round, cut_ms: int, back_ms: int | None) -> Round:
    """Return a round in which each sample fails from `cut_ms` on, until `back_ms`."""
    samples = tuple(
        Seen(one.seq, _failed(one.sample))
        if one.sample.mono_ms >= cut_ms and (back_ms is None or one.sample.mono_ms < back_ms)
        else one
        for one in made.samples
    )
    return Round(
        boot=made.boot,
        round_ms=made.round_ms,
        samples=samples,
        lines=made.lines,
        roles=made.roles,
        period_ms=made.period_ms,
    )


def _failed(sample: Sample) -> Sample:
    if sample.target == "gateway":
        return sample
    return msgspec.structs.replace(sample, failure=TIMEOUT, rtt_us=None)


def outage(cut_ms: int, back_ms: int, period_ms: int = 30_000) -> list[Transition]:
    """Return what is told of a line that is dead between two moments."""
    probe = Probe(machine=Machine(), period_ms=period_ms)
    told: list[Transition] = []
    while probe.now_ms < back_ms + 6 * period_ms:
        made = probe.round({"fixed": UP})
        told += probe.machine.handle(_changed(made, cut_ms, back_ms))
    return told


@pytest.mark.parametrize("offset_ms", range(0, 30_000, 700))
def test_the_interval_holds_the_moment_wherever_in_a_round_it_lies(offset_ms: int) -> None:
    """Onset and restoration lie inside their intervals, which are at most a round wide."""
    cut_ms, back_ms = 300_000 + offset_ms, 600_000 + offset_ms
    told = [one for one in outage(cut_ms, back_ms) if one.before != "unknown"]
    onset, restored = told[0], told[-1]
    assert onset.before == "ok"
    assert restored.after == "ok"
    assert onset.earliest_ms <= cut_ms <= onset.latest_ms
    assert restored.earliest_ms <= back_ms <= restored.latest_ms
    for one in (onset, restored):
        assert one.latest_ms - one.earliest_ms <= 30_000 + IN_FLIGHT_MS


def test_a_tight_schedule_dates_to_seconds() -> None:
    """In rounds of five seconds both ends are known to seven seconds."""
    told = [one for one in outage(61_000, 121_000, period_ms=5_000) if one.before != "unknown"]
    for one in told:
        assert one.latest_ms - one.earliest_ms <= 5_000 + IN_FLIGHT_MS


def test_a_host_that_is_always_down_does_not_date_the_outage() -> None:
    """Only hosts that turned count: one that never answered says nothing of when."""
    probe = Probe()
    five = Look(abroad=["i1", "i2", "i3", "i4", "i5"])
    told: list[Transition] = []
    cut_ms = 10 * 30_000 + 6_000
    for _ in range(14):
        told += probe.machine.handle(_changed(probe.round({"fixed": five}), cut_ms, None))
    onset = told[-1]
    assert onset.before == "ok"
    assert onset.earliest_ms <= cut_ms <= onset.latest_ms


def test_a_suspicion_asks_for_dense_rounds_for_two_minutes_and_not_again_at_once() -> None:
    """One odd round asks; more of the same kind do not, for ten minutes."""
    probe = Probe()
    probe.run({"fixed": UP})
    assert not probe.machine.wants_tight_schedule(probe.now_ms)
    probe.run({"fixed": Look(domestic=0, abroad=0, udp=False)}, rounds=1)
    began_ms = probe.now_ms
    assert probe.machine.wants_tight_schedule(began_ms + 119_000)
    assert not probe.machine.wants_tight_schedule(began_ms + 120_000)
    probe.run({"fixed": UP}, rounds=4)
    probe.run({"fixed": Look(domestic=0, abroad=0, udp=False)}, rounds=1)
    assert not probe.machine.wants_tight_schedule(probe.now_ms)
    probe.run({"fixed": UP}, rounds=20)
    probe.run({"fixed": Look(domestic=0, abroad=0, udp=False)}, rounds=1)
    assert probe.machine.wants_tight_schedule(probe.now_ms)


PACE_EVERY = 10
"""Rounds between two measurements of goodput: five minutes."""


def _paced(made: Round, slow_ms: int, fast_ms: int, *, busy: frozenset[str]) -> Round:
    """Return a round with goodput in every tenth only, a tenth of it between two moments."""
    samples = []
    for one in made.samples:
        sample = one.sample
        if isinstance(sample.detail, ThroughputDetail):
            if made.round_ms // 30_000 % PACE_EVERY:
                continue
            rate = 100_000 if slow_ms <= sample.mono_ms < fast_ms else 1_000_000
            detail = ThroughputDetail(rate, 1_000_000, rate)
            was_busy = sample.target in busy and sample.mono_ms > slow_ms - 1_200_000
            sample = msgspec.structs.replace(sample, detail=detail, busy=was_busy)
        samples.append(Seen(one.seq, sample))
    return replace(made, samples=tuple(samples))


@pytest.mark.parametrize("busy", [frozenset(), frozenset({"i3"})])
@pytest.mark.parametrize("offset_ms", range(0, 300_000, 37_000))
def test_a_throttle_is_dated_by_goodput_alone(offset_ms: int, busy: frozenset[str]) -> None:
    """Between the last good and the first low goodput, though an anchor's is not known for long."""
    slow_ms, fast_ms = 40 * 300_000 + offset_ms, 50 * 300_000 + offset_ms
    probe = Probe()
    look = {"fixed": replace(UP, goodput=(1.0,) * 4)}
    told: list[Transition] = []
    while probe.now_ms < fast_ms + 1_800_000:
        made = _paced(probe.round(look), slow_ms, fast_ms, busy=busy)
        told += probe.machine.handle(made)
    onset, restored = (one for one in told if one.before != "unknown")
    assert (onset.after, restored.after) == ("throttled", "ok")
    for one, at_ms in ((onset, slow_ms), (restored, fast_ms)):
        assert one.earliest_ms <= at_ms <= one.latest_ms
        assert one.latest_ms - one.earliest_ms <= 300_000 + 2 * IN_FLIGHT_MS


@pytest.mark.parametrize("offset_ms", range(0, 30_000, 3_700))
def test_darkness_ends_on_a_dead_line_when_another_one_comes_back(offset_ms: int) -> None:
    """The mobile line is as dead as before: the fixed one's anchors date that it is alone now."""
    back_ms, cut_ms = 600_000 + offset_ms, 900_000 + offset_ms
    probe = Probe()
    probe.run({"fixed": UP, "sim": mobile()})
    told: list[Transition] = []
    while probe.now_ms < 1_200_000:
        made = probe.round({"fixed": UP, "sim": mobile(CUT)})
        samples = tuple(
            Seen(one.seq, _failed(one.sample))
            if one.sample.line == "fixed" and not back_ms <= one.sample.mono_ms < cut_ms
            else one
            for one in made.samples
        )
        told += probe.machine.handle(replace(made, samples=samples))
    ends, begins = (one for one in told if one.line == "sim" and one.before != "ok")
    assert [(one.before, one.after) for one in (ends, begins)] == [
        ("dark", "line_dead"),
        ("line_dead", "dark"),
    ]
    for one, at_ms in ((ends, back_ms), (begins, cut_ms)):
        assert one.earliest_ms <= at_ms <= one.latest_ms
        assert one.latest_ms - one.earliest_ms <= 30_000 + IN_FLIGHT_MS
