"""What holds for any samples whatever, and for any course of a line."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.modem_words import Bearer, ModemDetail, Registration, Sim
from linewatch_core.records import GapReason, LineKind, Role, Transition
from linewatch_core.verdict import LineFacts, LineVerdict, Machine, Round, Seen
from tests.core.verdict.scenes import CUT, INTL_CUT, UP, Look, Probe, mobile
from tests.support.record_strategies import SAMPLES

LINES = ("fixed", "modem-1")
TARGETS = ("root-k", "fixed", "a", "b", "c", "d")
MODEMS = st.builds(
    ModemDetail,
    st.booleans(),
    st.none() | st.sampled_from(Sim),
    st.none() | st.sampled_from(Registration),
    st.none() | st.sampled_from(Bearer),
    st.none() | st.integers(-150, 0),
)
FACTS = st.builds(
    LineFacts,
    st.sampled_from(LineKind),
    st.booleans(),
    st.lists(st.sampled_from(["down", "no_carrier", "no_device", "odd"]), max_size=2).map(tuple),
    st.none() | st.sampled_from(["A", "B"]),
    st.none() | MODEMS,
)
TRUTHS = st.builds(
    CachedTruth,
    st.dictionaries(st.sampled_from(TARGETS), st.tuples(st.sampled_from(["odd", "93.0.0.0/8"]))),
    block_addresses=st.just(("a",)),
    silent_resolvers=st.lists(st.sampled_from(TARGETS), max_size=2).map(tuple),
)


@st.composite
def odd_rounds(draw: st.DrawFn) -> list[Round]:
    """Rounds of arbitrary samples, in ascending order of time."""
    made = []
    seq = 0
    for number in range(draw(st.integers(1, 5))):
        samples = []
        for sample in draw(st.lists(SAMPLES, max_size=12)):
            seq += 1
            line, target = draw(st.sampled_from(LINES)), draw(st.sampled_from(TARGETS))
            samples.append(Seen(seq, msgspec.structs.replace(sample, line=line, target=target)))
        made.append(
            Round(
                boot=draw(st.sampled_from(["one", "two"])),
                round_ms=draw(st.integers(-(2**40), 2**40)) if number % 3 else number * 30_000,
                samples=tuple(samples),
                lines={line: draw(FACTS) for line in draw(st.sets(st.sampled_from(LINES)))},
                roles={target: draw(st.sampled_from(Role)) for target in TARGETS},
                truth=draw(TRUTHS),
                clock_error_ms=draw(st.none() | st.integers(0, 10**9)),
                hour=draw(st.none() | st.integers(0, 23)),
                gap=draw(st.none() | st.sampled_from(GapReason)),
            )
        )
    return made


def fed(machine: Machine, rounds: Sequence[Round]) -> list[Transition]:
    """Return all that a machine tells of rounds."""
    return [told for one in rounds for told in machine.handle(one)]


@given(odd_rounds(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_samples_are_judged_the_same_in_any_order(rounds: list[Round], rng: object) -> None:
    """No samples crash it, every interval is one, and the order within a round is nothing."""
    shuffled = []
    for one in rounds:
        samples = list(one.samples)
        rng.shuffle(samples)  # type: ignore[attr-defined]
        shuffled.append(replace(one, samples=tuple(samples)))
    eager = VerdictSettings(hold=Hold(1, 1), line_holds={})
    for chosen in (VerdictSettings(), eager):
        first, second = Machine(chosen), Machine(chosen)
        told = fed(first, rounds)
        assert told == fed(second, shuffled)
        assert first.export() == second.export()
        assert all(one.earliest_ms <= one.latest_ms for one in told)
        assert all(one.before != one.after for one in told)


ANY_LOOKS = st.builds(
    Look,
    kind=st.sampled_from(LineKind),
    domestic=st.integers(0, 5),
    abroad=st.integers(0, 6),
    udp=st.booleans(),
    gateway=st.sampled_from([None, "generic_timeout_error", "host_unreachable", "absent"]),
    icmp=st.booleans(),
    problems=st.sampled_from([(), (), ("no_carrier",), ("no_device",)]),
    modem=st.none() | MODEMS,
    portals=st.sampled_from([(), ("", ""), ("pay.example", "pay.example")]),
    goodput=st.sampled_from([(), (1e6,) * 4, (1e4,) * 4]),
    silent=st.booleans(),
)


@given(st.lists(ANY_LOOKS, min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_ok_is_in_force_only_where_both_sets_answered(looks: list[Look]) -> None:
    """With a hold of one round `ok` is said exactly of what this very round shows to be up."""
    probe = Probe(machine=Machine(VerdictSettings(hold=Hold(1, 1), line_holds={})))
    for look in looks:
        probe.run({"fixed": look}, rounds=1)
        if probe.machine.verdicts()["fixed"] is LineVerdict.OK:
            assert not look.silent
            assert isinstance(look.domestic, int)
            assert look.domestic >= 3
            assert _answering_abroad(look) >= 3


def _answering_abroad(look: Look) -> int:
    """Return how many hosts abroad answer; every second one is asked by ICMP."""
    return sum(look.icmp or place % 2 == 0 for place in range(int(str(look.abroad))))


LOOKS = st.sampled_from(
    [
        UP,
        CUT,
        INTL_CUT,
        Look(domestic=2, abroad=1, udp=False),
        replace(UP, silent=True),
        replace(CUT, problems=("no_carrier",)),
        replace(UP, portals=("pay.example", "pay.example")),
    ]
)


@given(st.lists(LOOKS, min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_line_never_changes_faster_than_its_hold(
    looks: list[Look], raise_rounds: int, clear_rounds: int
) -> None:
    """Between two changes of a line lie at least the rounds that the later one needs."""
    hold = Hold(raise_rounds, clear_rounds)
    probe = Probe(machine=Machine(VerdictSettings(hold=hold, line_holds={})))
    last = -(10**6)
    for number, look in enumerate(looks):
        for told in probe.machine.handle(probe.round({"fixed": look})):
            clears = told.after == "ok" and told.before != "unknown"
            assert number - last >= (clear_rounds if clears else raise_rounds)
            last = number


@given(st.lists(LOOKS, min_size=2, max_size=30), st.integers(0, 29))
@settings(max_examples=50, deadline=None)
def test_a_restored_machine_goes_on_as_if_nothing_had_been(looks: list[Look], at: int) -> None:
    """Exported and restored anywhere it tells what the uninterrupted one tells."""
    probe = Probe()
    rounds = [probe.round({"fixed": look, "sim": mobile(UP)}) for look in looks]
    whole = fed(Machine(), rounds)
    first = Machine()
    told = fed(first, rounds[:at])
    second = Machine.restored(first.export())
    assert told + fed(second, rounds[at:]) == whole


@given(st.binary(max_size=60))
def test_any_bytes_restore_a_machine_or_are_refused(data: bytes) -> None:
    """A damaged export is refused by one of the core's own errors."""
    try:
        machine = Machine.restored(data)
    except MalformedError:
        return
    assert machine.export()


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_torn_export_is_refused(cut: int) -> None:
    """A file cut short by a power loss makes a fresh machine, not a crash."""
    probe = Probe()
    probe.run({"fixed": UP})
    whole = probe.machine.export()
    with pytest.raises(MalformedError):
        Machine.restored(whole[: min(cut, len(whole) - 1)])


def test_what_it_remembers_stays_small() -> None:
    """Eight days of rounds and a line's memory still fits in a few dozen kilobytes."""
    probe = Probe(period_ms=100_000)
    look = replace(UP, goodput=(1e6, 1e6, 1e6, 1e6))
    sizes = []
    for _ in range(2):
        for hour in range(96):
            probe.hour = hour % 24
            probe.run({"fixed": look}, rounds=36)
            probe.rounds.clear()
        sizes.append(len(probe.machine.export()))
    probe.run({"fixed": look}, rounds=2000)
    assert len(probe.machine.export()) < 64_000
    assert sizes[1] < 64_000
