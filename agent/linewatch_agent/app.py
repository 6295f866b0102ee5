"""The composition root of the agent: builds the parts and holds the one root TaskGroup.

Order of a start: lock, store, what happened before (a gap), lines, rounds,
uplink. Order of a stop: rounds end, everything is committed and sealed, the
uplink gets a moment to say so.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from nacl.signing import VerifyKey

from linewatch_agent import clock
from linewatch_agent.agent_backend import AgentBackend
from linewatch_agent.export_socket import ExportServer
from linewatch_agent.health import HealthWatch
from linewatch_agent.heartbeat import Heartbeat, Signs
from linewatch_agent.identity import enrol
from linewatch_agent.identity.identity import Identity
from linewatch_agent.judge import Judge
from linewatch_agent.last_words import read_last_words
from linewatch_agent.led.keeper import LedKeeper
from linewatch_agent.lines.connect import connect_over
from linewatch_agent.meter import Meter
from linewatch_agent.modems.look import Said
from linewatch_agent.modems.pin import PinWatch
from linewatch_agent.modems.repair import ModemRepair
from linewatch_agent.modems.watch import ModemWatch
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.notify import systemd_notifier
from linewatch_agent.own_version import own_version
from linewatch_agent.plan.calendar import watch_at
from linewatch_agent.plan.check_cost import TRACE_BYTES
from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_agent.plan.modem_ladder import ladder_settings
from linewatch_agent.plan.pace import Pace, pace_of
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.tracing import TRACED_ROLES, Tracing
from linewatch_agent.plan.truth import TruthBook
from linewatch_agent.plan.updates import Situation
from linewatch_agent.plan.verdict_settings import given_truth, verdict_settings
from linewatch_agent.plan.vitals import MEMORY_BYTES_MAX
from linewatch_agent.plan_file import Plan
from linewatch_agent.recorder import Listeners, Recorder
from linewatch_agent.releases.outbox import Outbox
from linewatch_agent.releases.places import INBOX
from linewatch_agent.releases.proof import Proof
from linewatch_agent.releases.wiring import Installed
from linewatch_agent.sampler import Sampler
from linewatch_agent.status import StatusServer
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.giving import Wanted, give
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.old_stores import OldStores
from linewatch_agent.store.opening import lock_directory
from linewatch_agent.store.spare import RUN_BYTES, open_spare
from linewatch_agent.store.store import Owner, StoreLimits, open_store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.writer import WriterThread
from linewatch_agent.timekeeper import Timekeeper
from linewatch_agent.uplink.uplink import Uplink
from linewatch_agent.watcher import LineWatcher
from linewatch_core.ids import EPOCH_RANDOM_BYTES, Epoch
from linewatch_core.records import (
    BootStarted,
    BudgetChanged,
    CachedTruth,
    Check,
    ConfigApplied,
    Gap,
    GapReason,
    Record,
    Sample,
    TargetNote,
    Transition,
    TruthApplied,
)
from linewatch_core.segment.sealing import RecipientKey
from linewatch_core.sync.upload_talk import Dropped, Held
from linewatch_core.sync.uploader import Uploader
from linewatch_core.verdict import LineVerdict

log = structlog.get_logger()

FAREWELL_S = 5.0
"""How long a stop waits for the server to acknowledge the last segments."""
ENROL_RETRY_S = 30.0
KEY_LOOK_S = 3600.0
"""How often a running agent looks whether its signing key is a day old."""

LEDGERS = "ledgers"
"""The name under which the store keeps what each line has spent."""
LEDGERS_S = 600.0
"""A power cut forgets at most this much of it."""
MODEM_RESETS = "modem_resets"
"""The name under which the store keeps what was done to modems in the last day."""
TRUTH = "truth"
"""The name under which the store keeps the networks of targets."""


class Agent:
    """A running agent on one state folder."""

    def __init__(self, state_dir: Path, plan: Plan, identity: Identity) -> None:
        """Open everything that a start needs.

        Raises:
            LinewatchError: the store or the identity can't be used; the text says what to do.
        """
        self._state_dir = state_dir
        self.plan = plan
        self.identity = identity
        self.version = own_version()
        self.boot = clock.boot_id()
        self.began_s = clock.mono_s()
        self._lock = lock_directory(state_dir)
        now_ms = clock.mono_ms()
        self.keys = SigningKeys.open(
            state_dir,
            probe=identity.probe,
            first_seed=identity.take_first_seed,
            boot=self.boot,
            now_ms=now_ms,
        )
        identity.erase_first_seed()
        self._rotate_key()
        self.store = open_store(
            state_dir,
            owner=Owner(identity.probe, self.boot, tuple(map(RecipientKey, identity.recipients))),
            new_epoch=Epoch(secrets.token_hex(EPOCH_RANDOM_BYTES)),
            keys=self.keys,
            limits=_limits(plan),
            now_ms=now_ms,
        )
        spare, self._spared = open_spare(
            os.environ.get("RUNTIME_DIRECTORY"),
            epoch=self.store.epoch,
            boot=self.boot,
            run=secrets.token_bytes(RUN_BYTES),
            stored=self.store.last_mark,
        )
        self.writer = WriterThread()
        self.machine = self._machine()
        self.recorder = Recorder(
            self.store,
            self.writer,
            boot=self.boot,
            commit_s=plan.config.store.commit_s,
            commit_records=plan.config.store.commit_records,
            measured_ms=self._measured_ms,
            listeners=Listeners(
                self._on_sealed, self._on_dropped, self._is_live, self._on_committed
            ),
            spare=spare,
        )
        self.truth = TruthBook(
            plan.targets,
            given=given_truth(plan.config.truth),
            kept=self.store.recall(TRUTH),
            now_ms=now_ms,
        )
        self.judge = Judge(self.boot, self._on_transition, book=self.truth)
        self.tracing = Tracing(plan.targets)
        self.meter = Meter(
            plan.config, plan.targets, self.store.recall(LEDGERS), on_step=self._on_step
        )
        self.timekeeper = Timekeeper(self.recorder.event)
        self.sampler = Sampler(
            schedule=plan.config.schedule,
            targets=plan.targets,
            on_sample=self._on_sample,
            on_missed=self._on_missed,
            is_busy=self._is_busy,
            pace=self._begin_round,
            allows=self.meter.allows,
            on_spent=self._on_spent,
            on_round=self._on_round,
        )
        self.modems = ModemWatch(
            on_sample=self.recorder.sample,
            is_busy=self._is_busy,
            timeout_s=plan.config.schedule.timeout_s,
            on_look=self._on_modems,
        )
        self.pins = PinWatch(state_dir)
        self.repair = ModemRepair(
            settings=ladder_settings(plan.config.modems),
            on_reset=self.recorder.event,
            keep=self._keep_resets,
            kept=self.store.recall(MODEM_RESETS),
        )
        self.watcher = LineWatcher(
            plan.config,
            state_dir,
            on_lines=self.sampler.set_lines,
            on_change=self.recorder.event,
            operator_of=self.modems.operator,
            sessions=self.modems.given,
        )
        installed = Installed(self.version)
        self.proof = Proof(
            Outbox(state_dir / INBOX),
            self.version,
            on_trial=installed.on_trial,
            installed=installed.is_release,
        )
        self.backend = AgentBackend(
            store=self.store,
            writer=self.writer,
            keys=self.keys,
            old_stores=OldStores(state_dir, probe=identity.probe, keys=self.keys),
            machine=self.machine,
            timekeeper=self.timekeeper,
            lines=lambda: self.watcher.lines,
            endpoints=[
                parse_endpoint(text) for text in plan.config.uplink.endpoints or identity.endpoints
            ],
            bound=plan.config.uplink.bind == "lines",
            version=self.version,
            on_traffic=self.meter.spend_uplink,
            on_ack=self.proof.acked,
        )
        self.uplink = Uplink(
            probe=identity.probe,
            machine=self.machine,
            backend=self.backend,
            ack_key=VerifyKey(identity.ack_public_key),
            tls=lambda: tls_context(
                authority_pem=identity.authority_pem,
                certificate=identity.certificate_path,
                key=identity.key_path,
            ),
            now_s=clock.mono_s,
            presence=plan.config.uplink.presence,
            keepalive_s=plan.config.uplink.keepalive_s,
            backoff_max_s=plan.config.uplink.retry_max_s,
        )
        self._installed = installed
        self.start_cpu_s: float | None = None
        self.light = LedKeeper(plan.config.led, HealthWatch(self, state_dir).look)
        self.last_words = read_last_words(state_dir)
        self._truth_kept: bytes | None = None
        self._answered_ms: dict[tuple[str, str], int] = {}
        self._outside = {target.id for target in plan.targets if not target.host.startswith("@")}

    async def run(
        self,
        snapshot: Callable[["Agent"], dict[str, Any]],
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
        self._note_start()
        notifier = systemd_notifier()
        heartbeat = Heartbeat(
            notifier, self._signs(), end=stop.set, memory_bytes_max=memory_bytes_max
        )
        status = StatusServer(self._state_dir, lambda: snapshot(self))
        export = ExportServer(self._state_dir, self._give)
        async with asyncio.TaskGroup() as tasks:
            await self.watcher.look()
            measuring = [
                tasks.create_task(self.watcher.run(), name="watcher"),
                tasks.create_task(self.sampler.run(), name="sampler"),
                tasks.create_task(self.modems.run(), name="modems"),
                tasks.create_task(self.repair.run(), name="modem-repair"),
                tasks.create_task(self.timekeeper.run(), name="timekeeper"),
                tasks.create_task(self._rotate_keys(), name="keys"),
                tasks.create_task(self._keep(), name="ledgers"),
                tasks.create_task(self.light.run(), name="led"),
                tasks.create_task(heartbeat.run(), name="heartbeat"),
            ]
            recording = tasks.create_task(self.recorder.run(), name="recorder")
            serving = [
                tasks.create_task(status.run(), name="status"),
                tasks.create_task(export.run(), name="export"),
            ]
            if self.plan.config.status.page:
                from linewatch_agent.status_page import StatusPage

                page = StatusPage(self.plan.config.status.page, lambda: snapshot(self))
                serving.append(tasks.create_task(page.run(), name="status page"))
            if self.plan.config.uplink.enabled:
                serving.append(tasks.create_task(self._uplink(), name="uplink"))
                proving = self.proof.run(self._is_well, stop.set)
                serving.append(tasks.create_task(proving, name="proof"))
                if self.plan.config.update.url:
                    serving.append(tasks.create_task(self._update(), name="updates"))
            self.start_cpu_s = clock.cpu_s()
            log.info("agent_started", version=self.version, targets=len(self.plan.targets))
            await stop.wait()
            log.info("agent_stopping")
            notifier.stopping()
            # Checks that the stop cuts short have no sample: the gap begins before them.
            measured_ms = self._measured_ms()
            await _end(measuring)
            await _end([recording])
            await self._keep_everything(measured_ms)
            await _end(serving)
        self.writer.close()
        self.store.close()
        if heartbeat.too_much is not None:
            raise heartbeat.too_much

    def _signs(self) -> Signs:
        """Return what tells that the agent does its work."""
        return Signs(
            scheduler_late_s=self.sampler.late_s,
            commit_late_s=self.recorder.late_s,
            ask_store=lambda: self.writer.run(lambda: None),
            words=lambda: (
                f"lines measured: {len(self.watcher.lines)}; "
                f"{self.machine.backlog()} records wait for the server"
            ),
        )

    def _machine(self) -> Uploader:
        machine = Uploader(epoch=self.store.epoch)
        for stream, ack in self.store.acks().items():
            machine.load_ack(stream, ack)
        for held in self.store.held():
            machine.handle(Held(held.stream, held.first, held.last), clock.mono_s())
        return machine

    def _note_start(self) -> None:
        """Record that the agent runs, what it did not measure before, and what it will."""
        now_ms = clock.mono_ms()
        self.recorder.event(BootStarted(now_ms, self.version))
        if (last := self.last_words) is not None:
            log.warning("an_agent_ended_badly_before", how=last.in_words(), lines=len(last.lines))
        spared = self._spared
        gap = self.store.opening_gap(now_ms, spared_ms=spared.safe_ms if spared else 0)
        if gap is not None:
            self.recorder.event(gap)
        notes = tuple(TargetNote(t.id, t.role, t.checks) for t in self.plan.targets)
        period_ms = int(self.plan.config.schedule.period_s * 1000)
        settings = verdict_settings(self.plan.config.verdict)
        self.recorder.event(ConfigApplied(now_ms, self.plan.sha256, period_ms, notes, settings))
        self._tell_truth(self.truth.first(now_ms))
        if spared is not None:
            self.recorder.take_over(spared.bodies)

    def _tell_truth(self, truth: CachedTruth | None) -> None:
        if truth is not None:
            self.recorder.event(TruthApplied(clock.mono_ms(), truth))

    async def _uplink(self) -> None:
        """Get the certificate if there is none yet, then keep the session."""
        while not self.identity.certificate_path.exists():
            if await self._complete_enrolment():
                break
            await asyncio.sleep(ENROL_RETRY_S)
        await self.uplink.run()

    async def _update(self) -> None:
        """Fetch newer releases for root, for ever."""
        # Imported only where it is wanted: it brings HTTP and the manifest with it.
        from linewatch_agent.releases.updater import Means, Updater

        means = Means(
            situation=self._situation,
            standing=self._installed.standing,
            connect=connect_over,
            affords=self.meter.affords,
            spend=self.meter.spend_uplink,
        )
        await Updater(self.plan.config.update, self._state_dir / INBOX, means).run()

    def _situation(self) -> Situation:
        utc = self.timekeeper.utc()
        watch = watch_at(self.plan.config.schedule, self.plan.config.event, utc)
        return Situation(
            lines=self.watcher.lines,
            verdicts=self.judge.verdicts(),
            refuse_updates=watch.refuse_updates,
            connected=self.uplink.state.connected,
            backlog=self.machine.backlog(),
            backfilling=self.machine.is_backfilling(),
            on_trial=self.proof.on_trial,
        )

    def _is_well(self) -> bool:
        return LineVerdict.OK in self.judge.verdicts().values()

    async def _complete_enrolment(self) -> bool:
        for way in self.backend.ways():
            try:
                if await enrol.complete(self._state_dir, make_socket=way.make_socket):
                    return True
            except OSError as error:
                # A full disk, say: measuring goes on, and the server answers the same again.
                log.warning("certificate_not_kept", reason=error.strerror)
        return False

    async def _rotate_keys(self) -> None:
        """Replace the signing key once a day, for ever; on the thread that seals with it."""
        while True:
            await asyncio.sleep(KEY_LOOK_S)
            await self.writer.run(self._rotate_key)

    def _rotate_key(self) -> None:
        self.keys.rotate_if_due(boot=self.boot, now_ms=clock.mono_ms(), seed=_random_seed)

    async def _keep_everything(self, measured_ms: int) -> None:
        await self.recorder.flush()
        await self._write_kept()
        safe_ms = min(measured_ms, self.recorder.safe_ms())
        sealed = await self.writer.run(
            lambda: self.store.stop(now_ms=clock.mono_ms(), safe_ms=safe_ms)
        )
        for one in sealed:
            self._on_sealed(one)
        if self.uplink.state.connected:
            await self.uplink.drain(FAREWELL_S)
            await self.uplink.farewell()

    async def _give(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Yield what a carrier wants; blocks are closed for it, so that it gets the last minute."""
        for one in await self.writer.run(self.store.seal_open):
            self._on_sealed(one)
        given = give(self.store, self.keys, wanted)
        # One item at a time on the store's thread: what is measured meanwhile need not wait.
        while (item := await self.writer.run(partial(next, given, None))) is not None:
            yield item

    def _on_sample(self, sample: Sample) -> None:
        self.recorder.sample(sample)
        if sample.failure is None and sample.target in self._outside:
            at = (sample.line, sample.target)
            silent_ms = sample.mono_ms - self._answered_ms.get(at, 0)
            self._answered_ms[at] = sample.mono_ms
            if silent_ms > 2000 * self.plan.config.schedule.period_s:
                self.uplink.poke(sample.line)

    def _begin_round(self) -> Pace:
        """Bring the data budget up to date, and say how fast to measure now."""
        now_ms, utc = clock.mono_ms(), self.timekeeper.utc()
        self.meter.begin_round(self.watcher.lines, now_ms=now_ms, utc=utc)
        self._tell_truth(self.truth.due(now_ms, utc))
        watch = watch_at(self.plan.config.schedule, self.plan.config.event, utc)
        tight = self.judge.wants_tight_schedule(now_ms)
        self.recorder.eager = tight
        return pace_of(watch, tight=tight)

    def _on_transition(self, told: Transition) -> None:
        """Record a change; of a line, also where on the way it ends now."""
        self.recorder.event(told)
        line = next((one for one in self.watcher.lines if one.id == told.line), None)
        if told.target is not None or line is None:
            return
        if not self.meter.affords(line, len(TRACED_ROLES) * TRACE_BYTES):
            return
        for target in self.tracing.after_change(line.id, line.families, clock.mono_ms()):
            self.sampler.ask(line.id, target, Check.TRACE)

    def _on_step(self, line: str, step: int) -> None:
        self.recorder.event(BudgetChanged(clock.mono_ms(), line, step))

    def _on_spent(self, line: str, slot: Slot, count: int) -> None:
        self.meter.spend(line, slot.check, slot.target.role, count)

    def _on_committed(self, records: Sequence[Record], safe_ms: int) -> None:
        self.judge.committed(records, safe_ms)

    async def _keep(self) -> None:
        """Write the data ledgers down now and then: a power cut forgets ten minutes of them."""
        while True:
            await asyncio.sleep(LEDGERS_S)
            await self._write_kept()

    async def _write_kept(self) -> None:
        """Write down the data ledgers, and the truth if it is another one than written last."""
        # Taken here: these are the event loop's, not the store's thread's.
        ledgers = self.meter.export()
        truth = self.truth.export(clock.mono_ms(), self.timekeeper.utc())
        try:
            await self.writer.run(lambda: self.store.remember(LEDGERS, ledgers))
            if truth != self._truth_kept:
                await self.writer.run(lambda: self.store.remember(TRUTH, truth))
                self._truth_kept = truth
        except StoreFullError as error:
            log.warning("ledgers_not_kept", reason=str(error))

    def _measured_ms(self) -> int:
        return min(self.sampler.safe_ms(), self.modems.safe_ms())

    def _on_round(self, round_ms: int) -> None:
        self.modems.begin_round(round_ms, self.watcher.lines)

    def _on_modems(self, devices: Mapping[str, str], said: Mapping[str, Said | None]) -> None:
        now_s = clock.mono_s()
        self.repair.looked(devices, said, self.watcher.lines, now_s=now_s)
        self.pins.looked(said, now_s=now_s)

    async def _keep_resets(self, kept: bytes) -> None:
        await self.writer.run(lambda: self.store.remember(MODEM_RESETS, kept))

    def _on_missed(self, from_ms: int, to_ms: int) -> None:
        self.recorder.event(Gap(clock.mono_ms(), GapReason.OVERRUN, self.boot, from_ms, to_ms))

    def _on_sealed(self, one: SealedRange) -> None:
        self.proof.sealed(one.stream, one.first, one.last)
        self.uplink.feed(Held(one.stream, one.first, one.last))

    def _on_dropped(self, one: SealedRange) -> None:
        self.uplink.feed(Dropped(one.stream, one.first, one.last))

    def _is_live(self) -> bool:
        """Whether blocks are to be closed soon: a line that must save data sends seldom."""
        state = self.uplink.state
        if not state.connected or state.last_ack_s is None:
            return False
        stride = max(
            (self.meter.allowance(line).uplink_stride for line in self._uplinks()), default=1
        )
        return int(clock.mono_s() / self.plan.config.store.live_close_s) % stride == 0

    def _uplinks(self) -> list[str]:
        """Return the line that carries the uplink; all that may, where nobody knows which."""
        line = self.uplink.state.line
        return [one.id for one in self.watcher.lines if line in (one.id, None)]

    def _is_busy(self, line: str) -> bool:
        return self.uplink.state.line in (line, None) and self.machine.is_backfilling()


def _limits(plan: Plan) -> StoreLimits:
    store = plan.config.store
    return StoreLimits(
        block_records=store.block_records,
        block_bytes=store.block_bytes,
        block_ms=int(store.block_s * 1000),
        live_block_ms=int(store.live_close_s * 1000),
        bytes_max=store.max_bytes,
        free_bytes_min=store.min_free_bytes,
    )


def _random_seed() -> bytes:
    return secrets.token_bytes(32)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
