"""How the agent's parts are joined: pace, budget and ledgers around a real store."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced
from structlog.testing import capture_logs

from linewatch_agent import clock
from linewatch_agent.app import Agent
from linewatch_agent.identity.identity import Identity
from linewatch_agent.memory import LEDGERS
from linewatch_agent.plan.config import Config
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.pace import Pace
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.settings import BudgetConfig, EventConfig, TruthConfig, VerdictConfig
from linewatch_agent.plan.truth import Proof
from linewatch_agent.plan.verdict_settings import verdict_settings
from linewatch_agent.plan_file import Plan
from linewatch_agent.running import note_start
from linewatch_agent.snapshot import snapshot
from linewatch_agent.status_words import in_words
from linewatch_agent.uplink.session import UplinkState
from linewatch_core.judging import CachedTruth
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    BudgetChanged,
    Check,
    ConfigApplied,
    LineChanged,
    LineKind,
    Record,
    Role,
    TargetNote,
    TruthApplied,
)
from linewatch_core.targets import Target
from linewatch_core.verdict import LineVerdict
from tests.core.verdict.scenes import INTL_CUT, PERIOD_MS, ROLES, UP, Look, Probe
from tests.support.probe import sample
from tests.support.segments import PROBE, derived_bytes, recipient

FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
SITE = Target(id="site", role=Role.DOMESTIC, host="192.0.2.1", checks=(Check.TCP,), families=(4,))
NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
USUAL = Pace(30.0, 1.0, 5.0)
TIGHT = Pace(5.0, 0.5, 4.0, whole=True)
HOUR = timedelta(hours=1)
DEFAULTS = Config()


class Clock:
    """The boot's clock, as the test sets it."""

    def __init__(self) -> None:
        self.ms = 1_000


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A boot's clock that only the test moves."""
    made = Clock()
    monkeypatch.setattr(clock, "mono_ms", lambda: made.ms)
    monkeypatch.setattr(clock, "mono_s", lambda: made.ms / 1000)
    return made


Start = Callable[..., Agent]


@pytest.fixture
def start(tmp_path: Path, boot: Clock) -> Iterator[Start]:
    """Start the agent of one state folder; the one before ends, as if its process did."""
    running: list[Agent] = []

    def end() -> None:
        while running:
            agent = running.pop()
            agent.writer.close()
            agent.store.close()
            os.close(agent._lock)

    def begin(config: Config = DEFAULTS, lines: tuple[Line, ...] = (FIXED,)) -> Agent:
        end()
        agent = Agent(tmp_path, Plan(config, (SITE,), "0" * 64), identity_in(tmp_path))
        running.append(agent)
        agent.watcher.lines = list(lines)
        return agent

    yield begin
    end()


def identity_in(state: Path) -> Identity:
    """Return a probe's identity, made at the first call."""
    folder = state / "identity"
    if not folder.exists():
        folder.mkdir()
        (folder / "signing.seed").write_bytes(derived_bytes("root seed"))
    return Identity(
        probe=PROBE,
        folder=folder,
        endpoints=("mqtts://192.0.2.9:8883",),
        recipients=(recipient("fleet").public,),
        ack_public_key=derived_bytes("ack"),
        authority_pem="",
        signing_public_key=derived_bytes("unused"),
    )


def overspend(agent: Agent, line: Line) -> None:
    """Let a check cost more than any month has."""
    agent.rounds.spent(line.id, Slot(0, 0, SITE, Check.TCP), 10**12)


def judge_rounds(agent: Agent, boot: Clock, looks: list[Look]) -> None:
    """Tell the agent of committed rounds that look so."""
    notes = tuple(TargetNote(name, role, (Check.TCP,)) for name, role in ROLES.items())
    told: tuple[Body, ...] = (
        BootStarted(1, "1.0"),
        ConfigApplied(2, "0" * 64, PERIOD_MS, notes),
        LineChanged(3, FIXED.id, FIXED.kind, True, (4,)),
    )
    records = [Record(number, body) for number, body in enumerate(told, 1)]
    agent.judge.committed(records, 4)
    scene = Probe()
    for look in looks:
        made = scene.round({FIXED.id: look})
        boot.ms = scene.now_ms + PERIOD_MS - 1
        agent.judge.committed([Record(one.seq, one.sample) for one in made.samples], boot.ms)


def test_rounds_go_as_usual_until_a_change_is_suspected(start: Start, boot: Clock) -> None:
    """The first round that contradicts the verdict makes them dense, for two minutes."""
    agent = start()
    judge_rounds(agent, boot, [UP] * 4)
    assert agent.judge.verdicts() == {FIXED.id: LineVerdict.OK}
    assert agent.rounds.prepare() == USUAL
    again = start()
    judge_rounds(again, boot, [UP] * 4 + [INTL_CUT] * 2)
    assert again.rounds.prepare() == TIGHT
    boot.ms += 120_000
    assert again.rounds.prepare() == USUAL


def test_what_is_judged_is_recorded(start: Start, boot: Clock) -> None:
    """A transition waits for the disk as any event does."""
    agent = start()
    judge_rounds(agent, boot, [UP] * 4)
    waiting = [(body.before, body.after) for body in agent.recorder._waiting.group(9)]  # type: ignore[union-attr]
    assert waiting == [("unknown", "ok")]


def waiting(agent: Agent) -> list[Body]:
    """Return what waits for the disk."""
    return agent.recorder._waiting.group(99)


def test_a_change_of_a_line_is_followed_by_a_trace_to_an_anchor(start: Start, boot: Clock) -> None:
    """Once for each; not of a line whose month is spent."""
    agent = start()
    judge_rounds(agent, boot, [UP] * 4 + [INTL_CUT] * 4)
    assert agent.sampler._asked == [(FIXED.id, SITE, Check.TRACE)] * 2
    poor = start()
    overspend(poor, FIXED)
    judge_rounds(poor, boot, [UP] * 4 + [INTL_CUT] * 4)
    assert poor.sampler._asked == []


def test_status_names_the_period_in_force(start: Start, boot: Clock) -> None:
    """The configured one until a round ran; then the one that it went by, dense or not."""
    agent = start()
    assert snapshot(agent)["round"]["period_s"] == 30.0
    agent.sampler.state.round_ms, agent.sampler.state.period_s = boot.ms, 5.0
    status = snapshot(agent)
    assert status["round"]["period_s"] == 5.0
    assert "one every 5 s" in in_words(status)


def test_what_a_line_holds_back_is_recorded(start: Start, boot: Clock) -> None:
    """The step of the ladder, when it changes: a reader must know why there is less."""
    agent = start()
    agent.rounds.prepare()
    overspend(agent, FIXED)
    agent.rounds.prepare()
    agent.rounds.prepare()
    steps = [body for body in waiting(agent) if isinstance(body, BudgetChanged)]
    assert steps == [BudgetChanged(boot.ms, FIXED.id, agent.meter.allowance(FIXED.id).step)]
    assert steps[0].step > 0


def test_the_configuration_is_recorded_with_its_settings_and_what_is_known(
    start: Start, boot: Clock
) -> None:
    """Whoever has the records judges by the same settings and the same truth."""
    config = Config(
        verdict=VerdictConfig(raise_rounds=2), truth=TruthConfig(block_addresses=("192.0.2.66",))
    )
    agent = start(config)
    note_start(agent)
    applied = waiting(agent)[-2:]
    assert isinstance(applied[0], ConfigApplied)
    assert applied[0].settings == verdict_settings(config.verdict)
    assert applied[1] == TruthApplied(boot.ms, CachedTruth(block_addresses=("192.0.2.66",)))
    plain = start()
    note_start(plain)
    assert not any(isinstance(body, TruthApplied) for body in waiting(plain))


async def test_the_truth_outlives_the_process(start: Start, boot: Clock) -> None:
    """What was learned is told again by the next run, before its first round."""
    agent = start()
    for number in range(3):
        agent.truth.learn(number, ok=True, proofs=[Proof(SITE.id, "192.0.2.0/24", None)])
    await agent.memory.write()
    again = start()
    note_start(again)
    (told,) = (body for body in waiting(again) if isinstance(body, TruthApplied))
    assert told.truth.networks == {SITE.id: ("192.0.2.0/24",)}


def test_an_announced_event_sets_the_pace_while_it_may_be_on(start: Start, boot: Clock) -> None:
    """By the timekeeper's time; where nobody knows it, the event may be on."""
    event = EventConfig(name="election", begins=NOW, ends=NOW + HOUR, period_s=10.0)
    agent = start(replaced(DEFAULTS, event=(event,)))
    assert agent.rounds.prepare() == replace(USUAL, period_s=10.0)
    before_ms = int((NOW - HOUR).timestamp() * 1000)
    agent.timekeeper._offer(Anchor(boot.ms, before_ms, 10, AnchorSource.NTP))
    assert agent.rounds.prepare() == USUAL
    boot.ms += 3_600_000
    assert agent.rounds.prepare() == replace(USUAL, period_s=10.0)


def test_every_round_brings_the_ledgers_up_to_date(start: Start, boot: Clock) -> None:
    """Of every line that was found: running time where there is no date, and the step."""
    agent = start(lines=(FIXED, MOBILE))
    agent.rounds.prepare()
    overspend(agent, MOBILE)
    boot.ms += 30_000
    agent.rounds.prepare()
    assert agent.meter.ledger(FIXED.id).into_ms == 30_000
    slots = [Slot(0, 0, SITE, Check.TCP, turn) for turn in range(16)]
    assert [sum(agent.meter.allows(line.id, s) for s in slots) for line in (FIXED, MOBILE)] == [
        16,
        1,
    ]


def live_windows(agent: Agent, boot: Clock, count: int = 64) -> int:
    """Return in how many of so many minutes blocks are closed soon."""
    live = 0
    for _ in range(count):
        boot.ms += 60_000
        live += agent._is_live()
    return live


def up(agent: Agent, line: str | None) -> UplinkState:
    """Let the uplink be up and acknowledged over a line."""
    agent.uplink.state.connected, agent.uplink.state.line = True, line
    agent.uplink.state.last_ack_s = 1.0
    return agent.uplink.state


def test_blocks_are_closed_soon_only_while_the_server_hears(start: Start, boot: Clock) -> None:
    """Not without a session, and not before its first ack."""
    agent = start(Config(budget=BudgetConfig(month_mb=100_000)))
    agent.rounds.prepare()
    assert live_windows(agent, boot) == 0
    state = up(agent, FIXED.id)
    assert live_windows(agent, boot) == 64
    state.last_ack_s = None
    assert live_windows(agent, boot) == 0


@pytest.mark.parametrize(
    ("over", "windows"), [(FIXED.id, 64), (MOBILE.id, 8), (None, 8), ("gone", 64)]
)
def test_a_line_that_saves_data_is_sent_over_seldom(
    start: Start, boot: Clock, over: str | None, windows: int
) -> None:
    """Every eighth minute over the spent line; where nobody knows which line, as if over it."""
    config = Config(budget=BudgetConfig(lines="mobile"))
    agent = start(config, lines=(FIXED, MOBILE))
    overspend(agent, MOBILE)
    agent.rounds.prepare()
    up(agent, over)
    assert live_windows(agent, boot) == windows


async def test_a_line_that_answers_after_a_silence_may_connect(start: Start, boot: Clock) -> None:
    """Whatever connecting in vain has cost: the first minutes may be all there are."""
    agent = start()
    agent.rounds.prepare()
    agent.meter.spend_uplink(FIXED.id, 10**6, opening=True)
    silent = replaced(sample(100_000), target=SITE.id)
    agent.rounds.sampled(silent)
    assert agent.backend.ways() == []
    agent.rounds.sampled(replaced(silent, failure=None, rtt_us=10_000))
    assert [way.line for way in agent.backend.ways()] == [FIXED.id]


async def test_the_ledgers_outlive_the_process(start: Start, boot: Clock) -> None:
    """A line that had spent its month has spent it after the restart."""
    agent = start()
    agent.rounds.prepare()
    overspend(agent, FIXED)
    await agent.memory.write()
    again = start()
    assert again.meter.ledger(FIXED.id) == agent.meter.ledger(FIXED.id)
    again.rounds.prepare()
    assert again.meter.allowance(FIXED.id).step > 10


async def test_a_full_disk_costs_the_ledgers_and_not_the_agent(start: Start, boot: Clock) -> None:
    """It is told; what was written before is still there."""
    agent = start()
    await agent.memory.write()
    before = agent.store.kept.recall(LEDGERS)
    for number in range(20_000):
        agent.meter.spend(f"mobile-{number}", Check.TCP, Role.DOMESTIC, 1)
    pages = agent.store._db.execute("PRAGMA page_count").fetchone()[0]
    agent.store._db.execute(f"PRAGMA max_page_count = {pages}")
    with capture_logs() as logs:
        await agent.memory.write()
    assert [entry["event"] for entry in logs] == ["ledgers_not_kept"]
    assert agent.store.kept.recall(LEDGERS) == before
