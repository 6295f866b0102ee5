"""The same records, decided again: by the server or a verifier, to the same transitions."""

from dataclasses import replace

import pytest

from linewatch_core.ids import BootId
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.modem_words import Bearer, ModemDetail, Registration, Sim
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    Check,
    ConfigApplied,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    Record,
    Sample,
    TargetNote,
    Transition,
    TruthApplied,
)
from linewatch_core.verdict import Machine, Round, RoundBuilder, replay
from tests.core.verdict.scenes import BOOT, CUT, INTL_CUT, PERIOD_MS, ROLES, UP, Probe, mobile

OTHER_BOOT = BootId("c" * 32)


class Recorder:
    """Writes down what a probe measures, with numbers, and judges it live."""

    def __init__(self, boot: str = BOOT, machine: Machine | None = None) -> None:
        self.boot = boot
        self.machine = machine or Machine()
        self.records: list[Record] = []
        self.told: list[Transition] = []
        self.builder = RoundBuilder(boot)
        self._ev = 0

    def event(self, body: Body) -> None:
        """Write an event down and hand it over."""
        self._ev += 1
        record = Record(self._ev, body)
        self.records.append(record)
        self.builder.add(record)

    def start(self, at_ms: int, gap: Gap | None = None) -> None:
        """Write down what an agent tells when it starts."""
        self.event(BootStarted(at_ms, "1.0"))
        if gap is not None:
            self.event(gap)
        notes = tuple(TargetNote(name, role, (Check.TCP,)) for name, role in ROLES.items())
        self.event(ConfigApplied(at_ms, "0" * 64, PERIOD_MS, notes))
        self.event(Anchor(at_ms, 1_600_000_000_000 + at_ms, 40, AnchorSource.NTP))
        self.event(LineChanged(at_ms, "fixed", LineKind.FIXED, True, (4,), (), "A"))
        self.event(LineChanged(at_ms, "sim", LineKind.MOBILE, True, (4,), (), "B"))

    def measured(self, made: Round) -> None:
        """Write a round's samples down, last checks first, and judge what is complete."""
        for seen in reversed(made.samples):
            record = Record(seen.seq, seen.sample)
            self.records.append(record)
            self.builder.add(record)
        for one in self.builder.take_complete(made.round_ms + PERIOD_MS // 2):
            self.told += self.machine.handle(one)


COURSE = (
    [{"fixed": UP, "sim": mobile()}] * 5
    + [{"fixed": CUT, "sim": mobile(CUT)}] * 6
    + [{"fixed": UP, "sim": mobile(CUT)}] * 4
    + [{"fixed": INTL_CUT, "sim": mobile(INTL_CUT)}] * 5
    + [{"fixed": UP, "sim": mobile()}] * 6
)


def measured_course() -> Recorder:
    """Return a recorder that went through an outage with a short restoration."""
    recorder, probe = Recorder(), Probe()
    recorder.start(1_000)
    for number, looks in enumerate(COURSE):
        if number == 12:
            recorder.event(LineChanged(probe.now_ms + 5, "fixed", LineKind.FIXED, True, (4, 6)))
        recorder.measured(probe.round(looks))
    return recorder


def test_replay_tells_what_was_told_live() -> None:
    """From the records alone come the same transitions, to the last field."""
    recorder = measured_course()
    again = [told for _, told in replay([(BOOT, recorder.records)])]
    assert len(recorder.told) >= 8
    assert again == recorder.told


def test_replay_does_not_mind_the_order_of_the_streams() -> None:
    """Records arrive events first, then live, then backlog; decided is the same."""
    recorder = measured_course()
    by_stream = sorted(recorder.records, key=lambda one: (hasattr(one.body, "rtt_us"), -one.seq))
    again = [told for _, told in replay([(BOOT, by_stream)])]
    assert again == recorder.told


HOME = ModemDetail(True, Sim.READY, Registration.HOME, Bearer.UP, -80, "25099", "lte")
SEARCHING = ModemDetail(True, Sim.READY, Registration.SEARCHING, Bearer.DOWN)
NO_SIM = ModemDetail(True, Sim.MISSING)
ON_AIR = mobile(modem=HOME)


@pytest.mark.parametrize(
    ("modem", "after"),
    [
        (ModemDetail(True, Sim.READY, Registration.HOME, Bearer.REFUSED, -82), "data_cut"),
        (SEARCHING, "radio_loss"),
        (NO_SIM, "local.modem"),
    ],
)
def test_what_rests_on_a_modem_is_decided_again_from_its_samples(
    modem: ModemDetail, after: str
) -> None:
    """The transition names the modem's samples, and from the records alone comes the same one."""
    recorder, probe = Recorder(), Probe()
    recorder.start(1_000)
    for _ in range(170):
        recorder.measured(probe.round({"fixed": UP, "sim": ON_AIR}))
    for _ in range(5):
        recorder.measured(probe.round({"fixed": UP, "sim": mobile(CUT, modem=modem)}))
    (told,) = (one for one in recorder.told if one.after not in ("ok", "unknown"))
    assert (told.line, told.after) == ("sim", after)
    said = {
        record.seq
        for record in recorder.records
        if isinstance(record.body, Sample) and record.body.detail == modem
    }
    assert len(said & set(told.samples)) == 3
    assert [one for _, one in replay([(BOOT, recorder.records)])] == recorder.told
    unsaid = [record for record in recorder.records if not _of_modem(record)]
    again = [one.after for _, one in replay([(BOOT, unsaid)]) if one.line == "sim"]
    assert after not in again


def _of_modem(record: Record) -> bool:
    return isinstance(record.body, Sample) and record.body.check is Check.MODEM


def test_what_a_modem_said_holds_for_its_own_round_and_line_only() -> None:
    """A modem that says nothing in a round is not taken at its word of the round before."""
    builder, probe = RoundBuilder(BOOT), Probe()
    for line, kind in (("fixed", LineKind.FIXED), ("sim", LineKind.MOBILE)):
        builder.add(Record(1, LineChanged(5, line, kind, True, (4,))))
    looks = [ON_AIR, mobile(), mobile(modem=NO_SIM), ON_AIR]
    for look in looks:
        for seen in probe.round({"fixed": UP, "sim": look}).samples:
            builder.add(Record(seen.seq, seen.sample))
    ready = builder.take_complete()
    assert [one.lines["sim"].modem for one in ready] == [HOME, None, NO_SIM]
    assert [one.lines["fixed"].modem for one in ready] == [None] * 3


def test_the_operator_is_the_one_told_last_before_the_round() -> None:
    """A SIM that roams, or was changed, is another operator's from then on."""
    builder, probe = RoundBuilder(BOOT), Probe()
    rounds = [probe.round({"sim": mobile()}) for _ in range(4)]
    for seq, at_ms, operator in (
        (1, 5, None),
        (2, rounds[0].round_ms + 1, "25099"),
        (3, rounds[2].round_ms, "25001"),
    ):
        told = LineChanged(at_ms, "sim", LineKind.MOBILE, True, (4,), (), operator)
        builder.add(Record(seq, told))
    for made in rounds:
        for seen in made.samples:
            builder.add(Record(seen.seq, seen.sample))
    ready = builder.take_complete()
    assert [one.lines["sim"].operator for one in ready] == [None, "25099", "25001"]


def test_the_truth_grows_older_and_is_not_an_earlier_runs() -> None:
    """Its age is that of when it was told and the time since; a started agent tells it anew."""
    builder, probe = RoundBuilder(BOOT), Probe()
    truth = CachedTruth(vantage_up=("news",), age_ms=1_000)
    rounds = [probe.round({"fixed": UP}) for _ in range(5)]
    builder.add(Record(1, BootStarted(5, "1.0")))
    builder.add(Record(2, TruthApplied(rounds[1].round_ms - 500, truth)))
    builder.add(Record(3, BootStarted(rounds[2].round_ms + 10_000, "1.0")))
    for made in rounds:
        for seen in made.samples:
            builder.add(Record(seen.seq, seen.sample))
    ready = builder.take_complete()
    # The third round is the one that the restart cut short.
    assert [one.round_ms for one in ready] == [rounds[at].round_ms for at in (0, 1, 3)]
    assert [one.truth.vantage_up for one in ready] == [(), ("news",), ()]
    assert ready[1].truth.age_ms == 1_500


def test_the_truth_ages_from_round_to_round() -> None:
    """What was fresh when it was told is older in every round after it."""
    builder, probe = RoundBuilder(BOOT), Probe()
    builder.add(Record(1, TruthApplied(probe.now_ms, CachedTruth(age_ms=7))))
    for _ in range(4):
        for seen in probe.round({"fixed": UP}).samples:
            builder.add(Record(seen.seq, seen.sample))
    ages = [one.truth.age_ms for one in builder.take_complete()]
    assert ages == [7 + PERIOD_MS * number for number in (1, 2, 3)]


def test_settings_are_those_of_the_configuration_applied() -> None:
    """Lines are judged by the settings that the records tell, live and again."""
    eager = VerdictSettings(hold=Hold(1, 1), line_holds={})
    recorder, probe = Recorder(), Probe()
    recorder.start(1_000)
    notes = tuple(TargetNote(name, role, (Check.TCP,)) for name, role in ROLES.items())
    looks = [UP] * 5 + [INTL_CUT] * 2 + [UP] * 5
    for number, look in enumerate(looks):
        if number == 4:
            applied = ConfigApplied(probe.now_ms + 7, "1" * 64, PERIOD_MS, notes, eager)
            recorder.event(applied)
        recorder.measured(probe.round({"fixed": look}))
    assert [one.after for one in recorder.told if one.line == "fixed"] == ["ok", "intl_cut", "ok"]
    assert [one for _, one in replay([(BOOT, recorder.records)])] == recorder.told
    untold = [one for one in recorder.records if one.body != applied]
    slow = [one.after for _, one in replay([(BOOT, untold)]) if one.line == "fixed"]
    assert slow == ["ok"]
    given = replay([(BOOT, untold)], settings=eager)
    assert "intl_cut" in [one.after for _, one in given if one.line == "fixed"]


def test_replay_ignores_the_transitions_that_the_probe_recorded() -> None:
    """What the probe said of itself is no evidence."""
    recorder = measured_course()
    lie = Transition(70_000, "fixed", None, "ok", "dark", 1, 2, "dark", 1, ())
    again = replay([(BOOT, [*recorder.records, Record(99, lie)])])
    assert [told for _, told in again] == recorder.told


def test_replay_goes_on_over_a_reboot() -> None:
    """A new boot after a hole is told as `local.power`, live and again."""
    first = measured_course()
    second = Recorder(OTHER_BOOT, Machine.restored(first.machine.export()))
    second.start(2_000, Gap(2_000, GapReason.REBOOTED, BOOT, 700_000, 2_000))
    probe = Probe(seq=100_000)
    for _ in range(6):
        second.measured(replace(probe.round({"fixed": UP, "sim": mobile()}), boot=OTHER_BOOT))
    boots = [(BOOT, first.records), (OTHER_BOOT, second.records)]
    again = list(replay(boots, kept=True))
    live = [(BOOT, one) for one in first.told] + [(OTHER_BOOT, one) for one in second.told]
    assert again == live
    assert ("ok", "local.power") in [(one.before, one.after) for one in second.told]


def test_replay_goes_on_over_a_restart_of_the_agent() -> None:
    """The round that a restart cut short is judged neither live nor again."""
    first, probe = Recorder(), Probe()
    first.start(1_000)
    for _ in range(5):
        first.measured(probe.round({"fixed": UP, "sim": mobile()}))
    restarted = Recorder(BOOT, Machine.restored(first.machine.export()))
    restarted._ev = first._ev
    at_ms = probe.now_ms + 10_000
    restarted.start(at_ms, Gap(at_ms, GapReason.KILLED, BOOT, at_ms - 5_000, at_ms))
    for _ in range(5):
        restarted.measured(probe.round({"fixed": CUT, "sim": mobile(CUT)}))
    records = [*first.records, *restarted.records]
    again = [told for _, told in replay([(BOOT, records)], kept=True)]
    assert again == first.told + restarted.told
    assert [one.after for one in again] == ["ok", "ok", "dark", "dark"]


def test_replay_begins_afresh_where_the_agent_did() -> None:
    """An agent that keeps nothing on its card starts at `unknown`; so does who decides again."""
    first, probe = Recorder(), Probe()
    first.start(1_000)
    for _ in range(5):
        first.measured(probe.round({"fixed": UP, "sim": mobile()}))
    second = Recorder()
    second._ev = first._ev
    at_ms = probe.now_ms + 10_000
    second.start(at_ms, Gap(at_ms, GapReason.STOPPED, BOOT, at_ms - 5_000, at_ms))
    for _ in range(5):
        second.measured(probe.round({"fixed": CUT, "sim": mobile(CUT)}))
    records = [*first.records, *second.records]
    again = [told for _, told in replay([(BOOT, records)])]
    assert again == first.told + second.told
    assert [(one.before, one.after) for one in second.told] == [("unknown", "dark")] * 2


def test_a_round_waits_for_its_last_check_and_for_a_later_round() -> None:
    """Nothing is judged while a check of it may still end."""
    builder, probe = RoundBuilder(BOOT), Probe()
    rounds = [probe.round({"fixed": UP}) for _ in range(3)]
    for made in rounds[:2]:
        for seen in made.samples:
            builder.add(Record(seen.seq, seen.sample))
    assert builder.take_complete(rounds[1].round_ms - 1) == []
    ready = builder.take_complete(rounds[1].round_ms)
    assert [one.round_ms for one in ready] == [rounds[0].round_ms]
    assert builder.take_complete() == []


def test_a_fact_told_after_a_round_began_is_not_yet_that_rounds() -> None:
    """A line that changed in the middle of a round is judged as it was when the round began."""
    builder, probe = RoundBuilder(BOOT), Probe()
    builder.add(Record(1, LineChanged(5, "fixed", LineKind.FIXED, True, (4,))))
    rounds = [probe.round({"fixed": UP}) for _ in range(3)]
    lost = LineChanged(rounds[0].round_ms + 1, "fixed", LineKind.FIXED, False, (), ("down",))
    builder.add(Record(2, lost))
    for made in rounds:
        for seen in made.samples:
            builder.add(Record(seen.seq, seen.sample))
    ready = builder.take_complete()
    assert [one.lines["fixed"].problems for one in ready] == [(), ("down",)]


def test_the_clock_is_vouched_for_by_ntp_only() -> None:
    """A server's word places records, but does not say that the system clock is right."""
    for source, known in ((AnchorSource.SERVER, False), (AnchorSource.NTP, True)):
        builder, probe = RoundBuilder(BOOT), Probe()
        builder.add(Record(1, Anchor(0, 5 * 3_600_000, 40, source)))
        for made in [probe.round({"fixed": UP}) for _ in range(2)]:
            for seen in made.samples:
                builder.add(Record(seen.seq, seen.sample))
        (ready,) = builder.take_complete()
        assert ready.hour == 5
        assert (ready.clock_error_ms == 55) if known else (ready.clock_error_ms is None)


def test_what_an_earlier_run_of_the_agent_said_of_lines_is_not_the_next_ones_word() -> None:
    """A line that was taken out while the agent was stopped is not the probe's any more."""
    builder, probe = RoundBuilder(BOOT), Probe()
    builder.add(Record(1, BootStarted(1, "1.0")))
    builder.add(Record(2, LineChanged(5, "fixed", LineKind.FIXED, True, (4,))))
    builder.add(Record(3, LineChanged(5, "sim", LineKind.MOBILE, True, (4,))))
    rounds = [probe.round({"fixed": UP}) for _ in range(5)]
    start_ms = rounds[2].round_ms - 1
    builder.add(Record(4, BootStarted(start_ms, "1.0")))
    builder.add(Record(5, LineChanged(start_ms, "fixed", LineKind.FIXED, True, (4,))))
    for made in rounds:
        for seen in made.samples:
            builder.add(Record(seen.seq, seen.sample))
    ready = builder.take_complete()
    assert [sorted(one.lines) for one in ready] == [["fixed", "sim"], ["fixed"], ["fixed"]]
    assert [one.run_ms for one in ready] == [1, start_ms, start_ms]
