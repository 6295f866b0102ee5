"""The composition root of the agent: builds the parts on one state folder, and joins them.

What the parts do for a round is in `rounds.py`; the tasks that they run as, the start and
the end in `running.py`.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from nacl.signing import VerifyKey

from linewatch_agent import clock
from linewatch_agent.agent_backend import AgentBackend
from linewatch_agent.health import HealthWatch
from linewatch_agent.identity.identity import Identity
from linewatch_agent.judge import Judge
from linewatch_agent.last_words import read_last_words
from linewatch_agent.led.keeper import LedKeeper
from linewatch_agent.memory import LEDGERS, MODEM_RESETS, TRUTH, Memory
from linewatch_agent.meter import Meter
from linewatch_agent.modems.look import Said
from linewatch_agent.modems.pin import PinWatch
from linewatch_agent.modems.repair import ModemRepair
from linewatch_agent.modems.watch import ModemWatch
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.own_version import own_version
from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_agent.plan.modem_ladder import ladder_settings
from linewatch_agent.plan.tracing import Tracing
from linewatch_agent.plan.truth import TruthBook
from linewatch_agent.plan.verdict_settings import given_truth
from linewatch_agent.plan_file import Plan
from linewatch_agent.recorder import Listeners, Recorder
from linewatch_agent.releases.outbox import Outbox
from linewatch_agent.releases.places import INBOX
from linewatch_agent.releases.proof import Proof
from linewatch_agent.releases.wiring import Installed
from linewatch_agent.rounds import Rounds
from linewatch_agent.sampler import Sampler
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.old_stores import OldStores
from linewatch_agent.store.opening import lock_directory
from linewatch_agent.store.spare import RUN_BYTES, open_spare
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_agent.store.writer import WriterThread
from linewatch_agent.timekeeper import Timekeeper
from linewatch_agent.uplink.uplink import Uplink
from linewatch_agent.watcher import LineWatcher
from linewatch_core.ids import EPOCH_RANDOM_BYTES, Epoch
from linewatch_core.segment.sealing import RecipientKey
from linewatch_core.sync.upload_talk import Dropped, Held
from linewatch_core.sync.uploader import Uploader

LOCK_WAIT_S = 3.0
"""Whoever looks into a store whose agent does not run (`status`) holds its lock for a moment:
that must keep no agent from starting."""


class Agent:
    """The parts of an agent on one state folder."""

    def __init__(self, state_dir: Path, plan: Plan, identity: Identity) -> None:
        """Open everything that a start needs.

        Raises:
            LinewatchError: the store or the identity can't be used; the text says what to do.
        """
        self.state_dir = state_dir
        self.plan = plan
        self.identity = identity
        self.version = own_version()
        self.boot = clock.boot_id()
        self.began_s = clock.mono_s()
        self.start_cpu_s: float | None = None
        self._lock = lock_directory(state_dir, wait_s=LOCK_WAIT_S)
        now_ms = clock.mono_ms()
        self.rounds = Rounds(self)
        self.memory = Memory(self)
        self._open_store(now_ms)
        self._build_recording(now_ms)
        self._build_measuring()
        self._build_modems()
        self._build_uplink()
        self.light = LedKeeper(plan.config.led, HealthWatch(self, state_dir).look)
        self.last_words = read_last_words(state_dir)

    def rotate_key(self) -> None:
        """Replace the signing key if it is a day old."""
        self.keys.rotate_if_due(boot=self.boot, now_ms=clock.mono_ms(), seed=_random_seed)

    def sealed(self, one: SealedRange) -> None:
        """Tell of a new segment: it can be sent."""
        self.proof.sealed(one.stream, one.first, one.last)
        self.uplink.feed(Held(one.stream, one.first, one.last))

    def _open_store(self, now_ms: int) -> None:
        """Open the keys, the store, and the copy in memory of what waits for it."""
        identity = self.identity
        self.keys = SigningKeys.open(
            self.state_dir,
            probe=identity.probe,
            first_seed=identity.take_first_seed,
            boot=self.boot,
            now_ms=now_ms,
        )
        identity.erase_first_seed()
        self.rotate_key()
        self.store = open_store(
            self.state_dir,
            owner=Owner(identity.probe, self.boot, tuple(map(RecipientKey, identity.recipients))),
            new_epoch=Epoch(secrets.token_hex(EPOCH_RANDOM_BYTES)),
            keys=self.keys,
            limits=_limits(self.plan),
            now_ms=now_ms,
        )
        self._spare, self.spared = open_spare(
            os.environ.get("RUNTIME_DIRECTORY"),
            epoch=self.store.epoch,
            boot=self.boot,
            run=secrets.token_bytes(RUN_BYTES),
            stored=self.store.last_mark,
        )
        self.writer = WriterThread()

    def _build_recording(self, now_ms: int) -> None:
        """Build what takes samples and events, and what judges them once they are committed."""
        plan, kept, config = self.plan, self.store.kept, self.plan.config
        self.truth = TruthBook(
            plan.targets,
            given=given_truth(plan.config.truth),
            kept=kept.recall(TRUTH),
            now_ms=now_ms,
        )
        self.judge = Judge(self.boot, self.rounds.changed, book=self.truth)
        self.tracing = Tracing(plan.targets)
        self.machine = _machine(self.store)
        self.recorder = Recorder(
            self.store,
            self.writer,
            boot=self.boot,
            commit_s=config.store.commit_s,
            commit_records=config.store.commit_records,
            measured_ms=self.rounds.measured_ms,
            listeners=Listeners(
                sealed=self.sealed,
                dropped=self._dropped,
                live=self._is_live,
                committed=self.judge.committed,
            ),
            spare=self._spare,
        )
        self.timekeeper = Timekeeper(self.recorder.event)

    def _build_measuring(self) -> None:
        """Build what measures, and what says how much may be measured."""
        plan, ledgers = self.plan, self.store.kept.recall(LEDGERS)
        self.meter = Meter(plan.config, plan.targets, ledgers, on_step=self.rounds.stepped)
        self.sampler = Sampler(
            schedule=plan.config.schedule,
            targets=plan.targets,
            on_sample=self.rounds.sampled,
            on_missed=self.rounds.missed,
            is_busy=self._is_busy,
            pace=self.rounds.prepare,
            allows=self.meter.allows,
            on_spent=self.rounds.spent,
            on_round=self.rounds.begun,
        )

    def _build_modems(self) -> None:
        """Build what looks after modems, and what finds the lines."""
        config = self.plan.config
        self.modems = ModemWatch(
            on_sample=self.recorder.sample,
            is_busy=self._is_busy,
            timeout_s=config.schedule.timeout_s,
            on_look=self._modems_said,
        )
        self.pins = PinWatch(self.state_dir)
        self.repair = ModemRepair(
            settings=ladder_settings(config.modems),
            on_reset=self.recorder.event,
            keep=self.memory.keep_resets,
            kept=self.store.kept.recall(MODEM_RESETS),
        )
        self.watcher = LineWatcher(
            config,
            self.state_dir,
            on_lines=self.sampler.set_lines,
            on_change=self.recorder.event,
            operator_of=self.modems.operator,
            sessions=self.modems.given,
        )

    def _build_uplink(self) -> None:
        """Build what hands segments to the server, and what proves a new release by that."""
        config, identity = self.plan.config.uplink, self.identity
        self.installed = Installed(self.version)
        self.proof = Proof(
            Outbox(self.state_dir / INBOX),
            self.version,
            on_trial=self.installed.on_trial,
            installed=self.installed.is_release,
        )
        self.backend = AgentBackend(
            store=self.store,
            writer=self.writer,
            keys=self.keys,
            old_stores=OldStores(self.state_dir, probe=identity.probe, keys=self.keys),
            machine=self.machine,
            timekeeper=self.timekeeper,
            lines=lambda: self.watcher.lines,
            endpoints=[parse_endpoint(text) for text in config.endpoints or identity.endpoints],
            bound=config.bind == "lines",
            version=self.version,
            on_traffic=self.meter.spend_uplink,
            may_connect=self.meter.may_connect,
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
            presence=config.presence,
            keepalive_s=config.keepalive_s,
            backoff_max_s=config.retry_max_s,
        )

    def _dropped(self, one: SealedRange) -> None:
        self.uplink.feed(Dropped(one.stream, one.first, one.last))

    def _modems_said(self, devices: Mapping[str, str], said: Mapping[str, Said | None]) -> None:
        now_s = clock.mono_s()
        self.repair.looked(devices, said, self.watcher.lines, now_s=now_s)
        self.pins.looked(said, now_s=now_s)

    def _is_live(self) -> bool:
        """Whether blocks are to be closed soon: a line that must save data sends seldom."""
        state = self.uplink.state
        if not state.connected or state.last_ack_s is None:
            return False
        # The line that carries the uplink; all that may, where nobody knows which.
        lines = [one.id for one in self.watcher.lines if state.line in (one.id, None)]
        stride = max((self.meter.allowance(line).uplink_stride for line in lines), default=1)
        return int(clock.mono_s() / self.plan.config.store.live_close_s) % stride == 0

    def _is_busy(self, line: str) -> bool:
        return self.uplink.state.line in (line, None) and self.machine.is_backfilling()


def _machine(store: Store) -> Uploader:
    """Return the uploader's machine, told what the store has and what the server."""
    machine = Uploader(epoch=store.epoch)
    for stream, ack in store.acks().items():
        machine.load_ack(stream, ack)
    for held in store.held():
        machine.handle(Held(held.stream, held.first, held.last), clock.mono_s())
    return machine


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
