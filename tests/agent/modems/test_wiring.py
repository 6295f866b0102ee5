"""How the agent joins the watch to its rounds, its records and its lines."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from linewatch_agent import clock, watcher
from linewatch_agent.app import Agent
from linewatch_agent.memory import MODEM_RESETS
from linewatch_agent.modems.repair import Hands
from linewatch_agent.modems.steps import Patient
from linewatch_agent.plan import modem_ladder
from linewatch_agent.plan.line import Given
from linewatch_agent.plan.settings import Config, ScheduleConfig
from linewatch_agent.plan_file import Plan
from linewatch_agent.recorder import Recorder
from linewatch_agent.sampler import Sampler
from linewatch_agent.snapshot import snapshot
from linewatch_core.modem_words import ModemStep, ModemTrouble
from linewatch_core.records import Body, LineChanged, ModemReset, Sample
from tests.agent.modems.conftest import HANGS_S, LINES, ONE, TWO
from tests.agent.test_app import identity_in
from tests.lab.modems import Modems

CONFIG = Config(schedule=ScheduleConfig(timeout_s=HANGS_S))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Body]:
    """What the agent records, in order."""
    bodies: list[Body] = []
    monkeypatch.setattr(Recorder, "event", lambda _, body: bodies.append(body))
    monkeypatch.setattr(Recorder, "sample", lambda _, body: bodies.append(body))
    monkeypatch.setattr(watcher, "find_lines", lambda *_: list(LINES))
    return bodies


@pytest.fixture
async def agent(tmp_path: Path, modems: Modems, told: list[Body]) -> AsyncIterator[Agent]:
    """An agent whose modem watch runs, and nothing else of it."""
    made = Agent(tmp_path, Plan(CONFIG, (), "0" * 64), identity_in(tmp_path))
    watching = asyncio.create_task(made.modems.run())
    yield made
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    made.writer.close()
    made.store.close()
    os.close(made._lock)


async def test_a_round_s_modems_and_operators_are_recorded(agent: Agent, told: list[Body]) -> None:
    """The line is told anew once its operator is known."""
    await agent.watcher.look()
    agent.rounds.begun(60_000)
    while len(samples(told)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert [(one.line, one.round_ms) for one in samples(told)] == [
        (ONE.id, 60_000),
        (TWO.id, 60_000),
    ]
    await agent.watcher.look()
    changed = [(body.line, body.operator) for body in told if isinstance(body, LineChanged)]
    before, after = changed[:3], changed[3:]
    assert before == [("fixed-1", None), (ONE.id, None), (TWO.id, None)]
    assert after == [(ONE.id, "00101"), (TWO.id, "00101")]


async def test_no_round_is_whole_while_a_modem_is_asked(
    agent: Agent, modems: Modems, told: list[Body]
) -> None:
    """What a hung modem will say (that it did not answer) still belongs to its round."""
    await agent.watcher.look()
    agent.rounds.begun(60_000)
    while len(samples(told)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    modems.service("hung")
    told.clear()
    before_ms = clock.mono_ms()
    agent.rounds.begun(90_000)
    began_ms = agent.rounds.measured_ms()
    assert before_ms <= began_ms <= clock.mono_ms()
    await asyncio.sleep(0.05)
    assert agent.rounds.measured_ms() == began_ms
    while len(samples(told)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert agent.rounds.measured_ms() > began_ms
    assert {one.mono_ms for one in samples(told)} == {began_ms}


async def test_what_is_done_to_a_modem_is_recorded_kept_and_shown(
    agent: Agent, modems: Modems, told: list[Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the look to the record, the store and the status; and the session's own MTU."""
    monkeypatch.setitem(modem_ladder.PATIENCE_S, ModemTrouble.GONE, 0.0)
    taken: list[tuple[ModemStep, Patient]] = []

    async def take(step: ModemStep, patient: Patient) -> bool:
        taken.append((step, patient))
        return True

    agent.repair._hands = Hands(take, lambda _: "1-1.2", lambda _: True, lambda: False)
    repairing = asyncio.create_task(agent.repair.run())
    await agent.watcher.look()
    agent.rounds.begun(60_000)
    while len(samples(told)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert agent.modems.given()[ONE.device] == Given(("203.0.113.53", "203.0.113.54"), 1430)
    modems.set(ONE.id, present=False)
    agent.rounds.begun(90_000)
    while not (resets := [body for body in told if isinstance(body, ModemReset)]):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    repairing.cancel()
    await asyncio.gather(repairing, return_exceptions=True)
    assert taken == [(ModemStep.USB, Patient(ONE.device, "1-1.2"))]
    assert [(one.line, one.step, one.trouble, one.done) for one in resets] == [
        (ONE.id, ModemStep.USB, ModemTrouble.GONE, True)
    ]
    kept = json.loads(agent.store.kept.recall(MODEM_RESETS) or b"")
    assert [one[:2] for one in kept] == [[ONE.id, "usb"]]
    said = snapshot(agent)["lines"][1]["modem"]["reset"]
    assert said["words"].startswith("since it was gone, its USB device was taken")


async def test_the_rounds_tell_when_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round, also one in which no target is due; at the round's own moment."""
    begun: list[int] = []
    enough = asyncio.Event()

    def begin(round_ms: int) -> None:
        begun.append(round_ms)
        if len(begun) == 3:
            enough.set()

    rounds = Sampler(
        schedule=Config().schedule,
        targets=(),
        on_sample=lambda _: None,
        on_missed=lambda _, __: None,
        is_busy=lambda _: False,
        on_round=begin,
    )
    now_ms = [30_000]
    monkeypatch.setattr(clock, "mono_ms", lambda: now_ms[0])

    async def sleep_until(mono_ms: int) -> None:
        await asyncio.sleep(0)
        now_ms[0] = max(now_ms[0], mono_ms)

    monkeypatch.setattr("linewatch_agent.sampler._sleep_until", sleep_until)
    running = asyncio.create_task(rounds.run())
    await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    steps = [later - earlier for earlier, later in pairwise(begun)]
    assert all(28_000 <= step <= 32_000 for step in steps[:2])


def samples(bodies: list[Body]) -> list[Sample]:
    """Return the samples among what was recorded."""
    return [body for body in bodies if isinstance(body, Sample)]
