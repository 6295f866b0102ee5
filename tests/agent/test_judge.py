"""The judge: committed records in, transitions out, and only of rounds that are whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from structlog.testing import capture_logs

from linewatch_agent.judge import Judge
from linewatch_core.records import (
    Body,
    BootStarted,
    Check,
    ConfigApplied,
    LineChanged,
    LineKind,
    Record,
    TargetNote,
    Transition,
)
from linewatch_core.verdict import LineVerdict, TargetVerdict, replay
from tests.core.verdict.scenes import (
    BOOT,
    INTL_CUT,
    PERIOD_MS,
    ROLES,
    UP,
    Look,
    Sight,
    short,
)
from tests.core.verdict.scenes import Probe as Scene

LINE = "fixed"
NEVER_MS = 10**12


@dataclass
class Rig:
    """A judge fed as the recorder feeds it: what it tells is recorded, committed and fed too."""

    scene: Scene = field(default_factory=Scene)
    records: list[Record] = field(default_factory=list)
    told: list[Transition] = field(default_factory=list)
    waiting: list[Body] = field(default_factory=list)
    events: int = 0
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(BOOT, self.on_transition)
        notes = tuple(TargetNote(name, role, (Check.TCP,)) for name, role in ROLES.items())
        started = (
            BootStarted(10, "1.0"),
            ConfigApplied(20, "0" * 64, PERIOD_MS, notes),
            LineChanged(30, LINE, LineKind.FIXED, True, (4,)),
        )
        self.commit([self.numbered(body) for body in started], safe_ms=40)

    def on_transition(self, told: Transition) -> None:
        """Take what the judge tells, to be committed next."""
        self.told.append(told)
        self.waiting.append(told)

    def numbered(self, body: Body) -> Record:
        """Return an event with its number."""
        self.events += 1
        return Record(self.events, body)

    def commit(self, records: Sequence[Record], *, safe_ms: int) -> None:
        """Tell the judge of a group, and of what it told upon it."""
        self.records += records
        self.judge.committed(records, safe_ms)
        while self.waiting:
            own = [self.numbered(body) for body in self.waiting]
            self.waiting.clear()
            self.records += own
            self.judge.committed(own, safe_ms)

    def measured(self, look: Look) -> list[Record]:
        """Return the samples of the next round that looks so."""
        made = self.scene.round({LINE: look})
        return [Record(seen.seq, seen.sample) for seen in made.samples]

    def rounds(self, look: Look, count: int) -> None:
        """Measure and commit rounds, each before the next one begins."""
        for _ in range(count):
            self.commit(self.measured(look), safe_ms=self.scene.now_ms + PERIOD_MS - 1)

    def verdict(self) -> LineVerdict:
        """Return the line's verdict."""
        return self.judge.verdicts().get(LINE, LineVerdict.UNKNOWN)


def test_a_line_is_judged_as_it_is_measured() -> None:
    """Works, is cut off from abroad, works: each told once, with the samples that decided it."""
    rig = Rig()
    rig.rounds(UP, 4)
    assert rig.verdict() is LineVerdict.OK
    rig.rounds(INTL_CUT, 4)
    assert rig.verdict() is LineVerdict.INTL_CUT
    rig.rounds(UP, 4)
    lines = [told for told in rig.told if told.target is None]
    assert [short(told) for told in lines] == [
        "fixed: unknown > ok",
        "fixed: ok > intl_cut",
        "fixed: intl_cut > ok",
    ]
    stored = {record.seq for record in rig.records if hasattr(record.body, "rtt_us")}
    assert all(told.samples and set(told.samples) <= stored for told in lines)


def test_whoever_has_the_records_decides_the_same() -> None:
    """Transitions among the records, fed back to the judge, change nothing."""
    rig = Rig()
    for look in (UP, INTL_CUT, UP):
        rig.rounds(look, 5)
    again = [told for _, told in replay([(BOOT, rig.records)])]
    # The last round is never complete; here nothing changes in it.
    assert len(rig.told) >= 3
    assert again == rig.told


def test_a_round_in_several_commits_is_one_round() -> None:
    """A group ends anywhere: the halves of a round are no two rounds, and none is judged early."""
    rig, whole = Rig(), Rig()
    for look in [UP] * 4 + [INTL_CUT] * 4 + [UP]:
        whole.rounds(look, 1)
        records = rig.measured(look)
        rig.commit(records[:7], safe_ms=rig.scene.now_ms)
        rig.commit(records[7:], safe_ms=rig.scene.now_ms + PERIOD_MS - 1)
    assert len(rig.told) >= 2
    assert rig.told == whole.told


def test_a_round_waits_for_its_slowest_check() -> None:
    """While a check of the round is still running, later rounds say nothing either."""
    rig = Rig()
    rig.rounds(UP, 4)
    (late, *early) = rig.measured(INTL_CUT)
    held_ms = rig.scene.now_ms
    rig.commit(early, safe_ms=held_ms)
    for _ in range(5):
        rig.commit(rig.measured(INTL_CUT), safe_ms=held_ms)
    assert rig.verdict() is LineVerdict.OK
    rig.commit([late], safe_ms=rig.scene.now_ms)
    assert rig.verdict() is LineVerdict.INTL_CUT


def test_a_sample_that_comes_after_its_round_was_judged_changes_nothing() -> None:
    """What was told stands; the judge neither fails nor judges the round again."""
    rig = Rig()
    rig.rounds(UP, 2)
    old = rig.measured(UP)
    rig.rounds(UP, 4)
    told = list(rig.told)
    rig.commit(old, safe_ms=NEVER_MS)
    assert rig.told == told
    assert rig.verdict() is LineVerdict.OK


def test_a_suspicion_asks_for_dense_rounds_before_anything_is_told() -> None:
    """The first round that contradicts asks for two minutes of them; a line that works does not."""
    rig = Rig()
    rig.rounds(UP, 5)
    assert not rig.judge.wants_tight_schedule(rig.scene.now_ms)
    rig.rounds(INTL_CUT, 2)
    suspected_ms = rig.scene.now_ms - PERIOD_MS
    assert rig.verdict() is LineVerdict.OK
    assert rig.judge.wants_tight_schedule(suspected_ms + 119_999)
    assert not rig.judge.wants_tight_schedule(suspected_ms + 120_000)


def test_a_fresh_judge_claims_nothing() -> None:
    """After a restart every line is unknown, until its rounds say more."""
    told: list[Transition] = []
    judge = Judge(BOOT, told.append)
    judge.committed([], safe_ms=NEVER_MS)
    assert judge.verdicts() == {}
    assert judge.target_verdicts(LINE) == {}
    assert not judge.wants_tight_schedule(0)
    assert told == []


def test_targets_are_judged_too_and_the_log_names_no_address() -> None:
    """A target that is down on a line that works: told and logged, by its id alone."""
    rig = Rig()
    sight = Sight("news", Check.TCP)
    up = Look(sights=(sight,))
    rig.rounds(up, 5)
    assert rig.judge.target_verdicts(LINE)["news"] is TargetVerdict.OK
    with capture_logs() as logs:
        down = Sight("news", Check.TCP, "generic_timeout_error")
        rig.rounds(Look(sights=(down,)), 6)
    said = rig.judge.target_verdicts(LINE)["news"]
    assert said not in (TargetVerdict.OK, TargetVerdict.UNKNOWN)
    assert logs == [
        {
            "event": "verdict_changed",
            "log_level": "info",
            "line": LINE,
            "target": "news",
            "before": "ok",
            "after": said.value,
        }
    ]
