"""One run of the agent, in the one root TaskGroup: its start, its tasks, its end.

Order of a start: what happened before (a gap), lines, rounds, uplink. Order of a stop:
rounds end, everything is committed and sealed, the uplink gets a moment to say so.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

import structlog

from linewatch_agent import clock
from linewatch_agent.app import Agent
from linewatch_agent.export_socket import ExportServer
from linewatch_agent.heartbeat import Heartbeat, Signs
from linewatch_agent.identity import enrol
from linewatch_agent.notify import systemd_notifier
from linewatch_agent.plan.verdict_settings import verdict_settings
from linewatch_agent.plan.vitals import MEMORY_BYTES_MAX
from linewatch_agent.status import StatusServer
from linewatch_agent.store.giving import Wanted, give
from linewatch_agent.updating import fetch_updates
from linewatch_core.records import BootStarted, ConfigApplied, TargetNote
from linewatch_core.verdict import LineVerdict

log = structlog.get_logger()

FAREWELL_S = 5.0
"""How long a stop waits for the server to acknowledge the last segments."""
ENROL_RETRY_S = 30.0
KEY_LOOK_S = 3600.0
"""How often a running agent looks whether its signing key is a day old."""

_Forever: TypeAlias = Coroutine[Any, Any, None]


async def run(
    agent: Agent,
    snapshot: Callable[[Agent], dict[str, Any]],
    *,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> None:
    """Measure until SIGTERM or SIGINT; then keep everything and end.

    Raises:
        TooMuchMemoryError: it ended because it grew past its bound; all is kept.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    note_start(agent)
    notifier = systemd_notifier()
    heartbeat = Heartbeat(notifier, _signs(agent), end=stop.set, memory_bytes_max=memory_bytes_max)
    async with asyncio.TaskGroup() as tasks:

        def begin(named: dict[str, _Forever]) -> list[asyncio.Task[None]]:
            return [tasks.create_task(task, name=name) for name, task in named.items()]

        await agent.watcher.look()
        measuring = begin({**_measuring(agent), "heartbeat": heartbeat.run()})
        recording = begin({"recorder": agent.recorder.run()})
        serving = begin(_serving(agent, lambda: snapshot(agent), stop.set))
        agent.start_cpu_s = clock.cpu_s()
        log.info("agent_started", version=agent.version, targets=len(agent.plan.targets))
        await stop.wait()
        log.info("agent_stopping")
        notifier.stopping()
        # Checks that the stop cuts short have no sample: the gap begins before them.
        measured_ms = agent.rounds.measured_ms()
        await _end(measuring)
        await _end(recording)
        await _keep_everything(agent, measured_ms)
        await _end(serving)
    agent.writer.close()
    agent.store.close()
    if heartbeat.too_much is not None:
        raise heartbeat.too_much


# --- the start ------------------------------------------------------------------


def note_start(agent: Agent) -> None:
    """Record that the agent runs, what it did not measure before, and what it will."""
    now_ms, recorder, plan = clock.mono_ms(), agent.recorder, agent.plan
    recorder.event(BootStarted(now_ms, agent.version))
    if (last := agent.last_words) is not None:
        log.warning("an_agent_ended_badly_before", how=last.in_words(), lines=len(last.lines))
    spared = agent.spared
    gap = agent.store.opening_gap(now_ms, spared_ms=spared.safe_ms if spared else 0)
    if gap is not None:
        recorder.event(gap)
    notes = tuple(TargetNote(t.id, t.role, t.checks) for t in plan.targets)
    period_ms = int(plan.config.schedule.period_s * 1000)
    settings = verdict_settings(plan.config.verdict)
    recorder.event(ConfigApplied(now_ms, plan.sha256, period_ms, notes, settings))
    agent.rounds.tell_truth(agent.truth.first(now_ms))
    if spared is not None:
        recorder.take_over(spared.bodies)


# --- the tasks ------------------------------------------------------------------


def _measuring(agent: Agent) -> dict[str, _Forever]:
    """Return what ends first at a stop."""
    return {
        "watcher": agent.watcher.run(),
        "sampler": agent.sampler.run(),
        "modems": agent.modems.run(),
        "modem-repair": agent.repair.run(),
        "timekeeper": agent.timekeeper.run(),
        "keys": _rotate_keys(agent),
        "ledgers": agent.memory.run(),
        "led": agent.light.run(),
    }


def _serving(
    agent: Agent, status: Callable[[], dict[str, Any]], stop: Callable[[], None]
) -> dict[str, _Forever]:
    """Return what goes on while the last records are kept and sent."""
    config = agent.plan.config
    tasks = {
        "status": StatusServer(agent.state_dir, status).run(),
        "export": ExportServer(agent.state_dir, partial(_give, agent)).run(),
    }
    if config.status.page:
        from linewatch_agent.status_page import StatusPage

        tasks["status page"] = StatusPage(config.status.page, status).run()
    if config.uplink.enabled:
        tasks["uplink"] = _uplink(agent)
        tasks["proof"] = agent.proof.run(lambda: _is_well(agent), stop)
        if config.update.url:
            tasks["updates"] = fetch_updates(agent)
    return tasks


def _signs(agent: Agent) -> Signs:
    """Return what tells that the agent does its work."""
    return Signs(
        scheduler_late_s=agent.sampler.late_s,
        commit_late_s=agent.recorder.late_s,
        ask_store=lambda: agent.writer.run(lambda: None),
        words=lambda: (
            f"lines measured: {len(agent.watcher.lines)}; "
            f"{agent.machine.backlog()} records wait for the server"
        ),
    )


async def _rotate_keys(agent: Agent) -> None:
    """Replace the signing key once a day, for ever; on the thread that seals with it."""
    while True:
        await asyncio.sleep(KEY_LOOK_S)
        await agent.writer.run(agent.rotate_key)


async def _uplink(agent: Agent) -> None:
    """Get the certificate if there is none yet, then keep the session."""
    while not agent.identity.certificate_path.exists():
        if await _complete_enrolment(agent):
            break
        await asyncio.sleep(ENROL_RETRY_S)
    await agent.uplink.run()


async def _complete_enrolment(agent: Agent) -> bool:
    for way in agent.backend.ways():
        try:
            count = partial(agent.backend.traffic, way.line)
            if await enrol.complete(agent.state_dir, make_socket=way.make_socket, on_bytes=count):
                return True
        except OSError as error:
            # A full disk, say: measuring goes on, and the server answers the same again.
            log.warning("certificate_not_kept", reason=error.strerror)
    return False


def _is_well(agent: Agent) -> bool:
    return LineVerdict.OK in agent.judge.verdicts().values()


async def _give(agent: Agent, wanted: Wanted) -> AsyncIterator[bytes]:
    """Yield what a carrier wants; blocks are closed for it, so that it gets the last minute."""
    for one in await agent.writer.run(agent.store.seal_open):
        agent.sealed(one)
    given = give(agent.store, agent.keys, wanted)
    # One item at a time on the store's thread: what is measured meanwhile need not wait.
    while (item := await agent.writer.run(partial(next, given, None))) is not None:
        yield item


# --- the end --------------------------------------------------------------------


async def _keep_everything(agent: Agent, measured_ms: int) -> None:
    await agent.recorder.flush()
    await agent.memory.write()
    safe_ms = min(measured_ms, agent.recorder.safe_ms())
    sealed = await agent.writer.run(
        lambda: agent.store.stop(now_ms=clock.mono_ms(), safe_ms=safe_ms)
    )
    for one in sealed:
        agent.sealed(one)
    if agent.uplink.state.connected:
        await agent.uplink.drain(FAREWELL_S)
        await agent.uplink.farewell()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
