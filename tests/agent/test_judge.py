"""The judge: committed records in, transitions out, and only of rounds that are whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from structlog.testing import capture_logs

from linewatch_agent.judge import Judge
from linewatch_agent.plan.truth import TruthBook
from linewatch_core.details import HttpDetail
from linewatch_core.judging import CachedTruth
from linewatch_core.records import (
    Body,
    BootStarted,
    Check,
    ConfigApplied,
    LineChanged,
    LineKind,
    Record,
    Role,
    TargetNote,
    Transition,
    TruthApplied,
)
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval
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
    book: TruthBook = field(init=False)
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        names = {"news": Role.SENSITIVE, "cats": Role.NEUTRAL}
        targets = [
            Target(id=name, role=role, host=f"{name}.example", checks=(Check.HTTP,))
            for name, role in names.items()
        ]
        self.book = TruthBook(targets, given=CachedTruth(), kept=None, now_ms=0)
        self.judge = Judge(BOOT, self.on_transition, book=self.book)
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

    def tell_truth(self) -> CachedTruth | None:
        """Tell what the book has to tell now, as the agent does before a round."""
        now_ms = self.scene.now_ms
        truth = self.book.due(now_ms, Interval(None, None))
        if truth is not None:
            self.commit([self.numbered(TruthApplied(now_ms, truth))], safe_ms=now_ms)
        return truth

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


def test_since_when_a_line_is_as_it_is() -> None:
    """The latest moment at which the last change can have happened; before any, nobody knows."""
    rig = Rig()
    assert rig.judge.since_ms(LINE) is None
    rig.rounds(UP, 4)
    first = rig.told[-1]
    assert rig.judge.since_ms(LINE) == first.latest_ms
    rig.rounds(INTL_CUT, 4)
    of_line = [told for told in rig.told if told.target is None]
    assert rig.judge.since_ms(LINE) == of_line[-1].latest_ms > first.latest_ms


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


def web(news: str, cats: str, failure: str | None = None) -> Look:
    """Return a good line with two pages over TLS, under these authorities."""
    pages = (("news", "93.184.216.34", news), ("cats", "151.101.1.1", cats))
    return Look(
        sights=tuple(
            Sight(
                name,
                Check.HTTP,
                failure,
                HttpDetail(200, 9, "a" * 16, None, "c" * 16, issuer * 16),
                address,
                (0, 40_000),
            )
            for name, address, issuer in pages
        )
    )


HOUR_ROUNDS = 130


def test_the_truth_is_learned_while_a_line_is_ok_and_then_decides() -> None:
    """An hour of pages is told; then both names under one strange authority are interception."""
    rig = Rig()
    rig.rounds(web("1", "2"), HOUR_ROUNDS)
    truth = rig.tell_truth()
    assert truth is not None
    assert truth.networks == {"cats": ("151.101.1.0/24",), "news": ("93.184.216.0/24",)}
    assert truth.issuers == {"cats": ("2" * 16,), "news": ("1" * 16,)}
    rig.rounds(web("e", "e"), 5)
    said = rig.judge.target_verdicts(LINE)
    assert said["news"] is said["cats"] is TargetVerdict.TLS_INTERCEPTED
    again = [told for _, told in replay([(BOOT, rig.records)])]
    assert again == rig.told


def test_an_intercepted_line_teaches_nothing() -> None:
    """A strange authority on both names stays strange however long it lasts: a day, or two."""
    rig = Rig()
    rig.rounds(web("1", "2"), HOUR_ROUNDS)
    told = rig.tell_truth()
    for _ in range(24):
        rig.rounds(web("e", "e"), 240)
        assert rig.tell_truth() is None
    assert told is not None
    assert rig.judge.target_verdicts(LINE)["news"] is TargetVerdict.TLS_INTERCEPTED


def test_one_site_that_renews_elsewhere_is_learned() -> None:
    """Another authority on one name is no interception, and after a day belongs to the truth."""
    rig = Rig()
    rig.rounds(web("1", "2"), HOUR_ROUNDS)
    rig.tell_truth()
    rig.rounds(web("e", "2"), 24 * 120 + 5)
    truth = rig.tell_truth()
    assert truth is not None
    assert truth.issuers["news"] == ("1" * 16, "e" * 16)
    assert rig.judge.target_verdicts(LINE)["news"] is TargetVerdict.OK


def test_pages_that_were_refused_or_came_over_a_dead_line_teach_nothing() -> None:
    """Without verified TLS, or without `ok`, nothing is known of where a name is."""
    for look in (web("1", "2", "ssl_unknown_authority"), replace(web("1", "2"), domestic=0)):
        rig = Rig()
        rig.rounds(look, HOUR_ROUNDS)
        rig.rounds(UP, HOUR_ROUNDS)
        assert rig.tell_truth() is None
