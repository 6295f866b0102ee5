"""The small parts: baselines that freeze and forget, and what one sample says."""

from dataclasses import replace

import pytest

from linewatch_core.details import DnsDetail
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.modem_words import MODEM_TARGET, ModemDetail
from linewatch_core.records import Check, Role, Sample
from linewatch_core.verdict import LineVerdict, Machine
from linewatch_core.verdict.answers import Protocol, answered, connected, protocol_of
from linewatch_core.verdict.baseline import Baseline
from linewatch_core.verdict.evidence import HostSet
from linewatch_core.verdict.line_conditions import mostly_dead
from linewatch_core.verdict.memory import LineMemory
from linewatch_core.verdict.summary import line_evidence
from tests.core.verdict.scenes import CUT, ROLES, UP, Probe, mobile

DEFAULT = VerdictSettings()
HOUR_MS = 3_600_000


def test_a_baseline_is_the_median_of_the_same_hour() -> None:
    """Values of other hours count only until the hour has enough of its own."""
    baseline = Baseline()
    for place in range(6):
        baseline.add(100.0, hour=4, ok_ms=place * HOUR_MS, settings=DEFAULT)
    assert baseline.normal(hour=21, settings=DEFAULT) == 100.0
    for place, value in enumerate((10.0, 30.0, 20.0)):
        baseline.add(value, hour=21, ok_ms=(10 + place) * HOUR_MS, settings=DEFAULT)
    assert baseline.normal(hour=21, settings=DEFAULT) == 20.0


def test_a_baseline_with_few_values_says_nothing() -> None:
    """Two values are no normal, nor are five of other hours."""
    baseline = Baseline()
    for place in range(5):
        baseline.add(1.0, hour=place, ok_ms=place * HOUR_MS, settings=DEFAULT)
    assert baseline.normal(hour=20, settings=DEFAULT) is None


def test_a_baseline_forgets_after_seven_days_of_ok_time() -> None:
    """Old values go; at most one value per spacing is kept."""
    baseline = Baseline()
    for minute in range(0, 10 * 24 * 60, 5):
        baseline.add(1.0, hour=None, ok_ms=minute * 60_000, settings=DEFAULT)
    span = baseline.values[-1][0] - baseline.values[0][0]
    assert span <= DEFAULT.baseline_span_ms
    assert len(baseline.values) <= DEFAULT.baseline_span_ms // DEFAULT.baseline_spacing_ms + 1


def test_a_baseline_freezes_while_the_line_is_not_ok() -> None:
    """A day of slow rounds on a line that is not ok does not become its normal."""
    probe = Probe()
    fast = {"fixed": replace(UP, goodput=(1e6, 1e6, 1e6))}
    probe.run(fast, rounds=130)
    slow_and_cut = {"fixed": replace(CUT, goodput=(1e5, 1e5, 1e5))}
    probe.run(slow_and_cut, rounds=24 * 120)
    probe.rounds.clear()
    slow = {"fixed": replace(UP, goodput=(1e5, 1e5, 1e5))}
    told = probe.run(slow, rounds=60)
    assert [one.after for one in told] == ["throttled"]


def test_nothing_is_learned_before_a_line_is_ok() -> None:
    """Good rounds of a line that is not yet called ok are no normal."""
    holds = {LineVerdict.OK.value: Hold(raise_rounds=200)}
    probe = Probe(machine=Machine(VerdictSettings(line_holds=holds)))
    probe.run({"fixed": replace(UP, goodput=(1e6, 1e6, 1e6))}, rounds=130)
    told = probe.run({"fixed": replace(UP, goodput=(1e5, 1e5, 1e5))}, rounds=100)
    assert [one.after for one in told] == ["ok"]


def sample(check: Check, failure: str | None = None, **more: object) -> Sample:
    """Return a sample of a target with an address."""
    fields = {"address": "203.0.113.5", **more}
    return Sample(1, 1, 1, "fixed", "x", check, 4, failure, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "role", "protocol"),
    [
        (sample(Check.ICMP), Role.DOMESTIC, Protocol.ICMP),
        (sample(Check.HTTP), Role.DOMESTIC, Protocol.TCP),
        (sample(Check.DNS), Role.RESOLVER, Protocol.UDP),
        (sample(Check.DNS), Role.DOMESTIC, None),
        (sample(Check.TCP, "generic_timeout_error", address=None), Role.DOMESTIC, None),
        (sample(Check.TRACE), Role.DOMESTIC, None),
        *((sample(Check.MODEM, detail=ModemDetail()), role, None) for role in Role),
    ],
)
def test_what_a_sample_says_of_its_host(one: Sample, role: Role, protocol: Protocol | None) -> None:
    """Only a question that was sent to the host itself says something of it."""
    assert protocol_of(one, role) is protocol


@pytest.mark.parametrize(
    ("one", "good"),
    [
        (sample(Check.TCP), True),
        (sample(Check.TCP, "connection_refused"), False),
        (sample(Check.HTTP, "connection_reset", timings_us=(0, 900)), True),
        (sample(Check.HTTP, "connection_reset", timings_us=(0,)), False),
        (sample(Check.DNS, "dns_nxdomain_error", detail=DnsDetail("NXDOMAIN", ())), True),
        (sample(Check.DNS, "generic_timeout_error"), False),
    ],
)
def test_what_counts_as_an_answer(one: Sample, good: bool) -> None:
    """A handshake or an error code is an answer; a refusal may be anybody's."""
    assert answered(one) is good


def test_whether_a_handshake_was_completed() -> None:
    """Unknown where none was tried or the failure is not the network's."""
    assert connected(sample(Check.TCP)) is True
    assert connected(sample(Check.TCP, "connection_refused")) is False
    assert connected(sample(Check.TCP, "too_many_open_files")) is None
    assert connected(sample(Check.ICMP)) is None


def test_a_hold_below_one_round_is_refused() -> None:
    """A verdict cannot be told before a round said it."""
    with pytest.raises(ValueError, match="less than one round"):
        Hold(raise_rounds=0)


@pytest.mark.parametrize("role", Role)
def test_what_a_modem_says_is_no_answer_of_a_host(role: Role) -> None:
    """Whatever role its target's name has, a modem's sample is no host, gateway or target."""
    probe = Probe(truth=CachedTruth(silent_resolvers=(MODEM_TARGET,)))
    look = mobile(CUT, modem=ModemDetail())
    made = [probe.round({"sim": look}) for _ in range(4)]
    named = [replace(one, roles={**ROLES, MODEM_TARGET: role}) for one in made]
    plain, odd = Machine(), Machine()
    told = [change for one in made for change in plain.handle(one)]
    assert [change for one in named for change in odd.handle(one)] == told != []
    assert MODEM_TARGET not in odd.target_verdicts("sim")
    evidence = line_evidence("sim", named[-1], named[-1].samples, LineMemory(), DEFAULT)
    usual = line_evidence("sim", made[-1], made[-1].samples, LineMemory(), DEFAULT)
    for part in ("domestic", "international"):
        assert getattr(evidence, part).hosts == getattr(usual, part).hosts
        assert getattr(evidence, part).seqs == getattr(usual, part).seqs
    assert (evidence.gateway, evidence.portal) == (usual.gateway, usual.portal)


HOSTS = frozenset(f"i{number}" for number in range(10))


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        ({Protocol.ICMP: (10, 3)}, True),
        ({Protocol.ICMP: (10, 4)}, False),
        ({Protocol.ICMP: (8, 0), Protocol.TCP: (2, 1)}, False),
        ({Protocol.ICMP: (6, 1), Protocol.TCP: (4, 1)}, True),
    ],
)
def test_mostly_dead_is_a_third_and_no_protocol_of_its_own(
    asked: dict[Protocol, tuple[int, int]], verdict: bool
) -> None:
    """Where half of one protocol answers, the others are filtered; that is no list of hosts."""
    answering = frozenset(sorted(HOSTS)[: sum(good for _, good in asked.values())])
    assert mostly_dead(HostSet(10, HOSTS, answering, answering, asked)) is verdict
