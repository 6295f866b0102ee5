"""The probe's side: the real recorder, store, keys and uploader machine on a disk that may fail.

The recorder's steps are run to their end by hand: nothing in them waits, since
the writer here is no thread. Whatever ends the real agent ends this one.
"""

import shutil
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from linewatch_agent.recorder import Listeners, Recorder
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.old_stores import OldStores
from linewatch_agent.store.spare import RUN_BYTES, SpareCopy, read_spare
from linewatch_agent.store.store import open_store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_agent.store.writer import WriterThread
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import BootStarted, Check, LineChanged, LineKind, Sample
from linewatch_core.sync.upload_talk import Dropped, Held
from linewatch_core.sync.uploader import Uploader
from tests.chaos.broker import Broker
from tests.chaos.disk import Disk
from tests.chaos.driver import Driver
from tests.chaos.excuses import token_of
from tests.chaos.ledger import Ledger, Range
from tests.chaos.patches import KIB, Clock
from tests.chaos.told_store import ToldStore
from tests.support.segments import PROBE, derived_bytes, recipient

LIMITS = StoreLimits(
    block_records=12,
    block_bytes=4 * KIB,
    block_ms=120_000,
    live_block_ms=20_000,
    bytes_max=160 * KIB,
    free_bytes_min=16 * KIB,
)
COMMIT_S = 30.0
COMMIT_RECORDS = 8
WAITING_MAX = 40
_T = TypeVar("_T")


class _Here:
    """A writer that runs the store's calls at once."""

    async def run(
        self, function: Callable[[], _T], *, meanwhile: Callable[[], None] | None = None
    ) -> _T:
        return function()


@dataclass(slots=True)
class Probe:
    """One probe: started, killed, rebooted, connected or not.

    Attributes:
        memory: a folder that a kill leaves and a reboot empties.
        owed: what the copy there had and the store had not when the process ended.
    """

    disk: Disk
    clock: Clock
    broker: Broker
    ledger: Ledger
    memory: Path
    running: bool = False
    owed: set[int] = field(default_factory=set)
    tokens: int = 0
    boots: int = 0
    starts: int = 0
    epoch: str = ""
    boot: BootId = field(init=False)
    store: ToldStore = field(init=False)
    keys: SigningKeys = field(init=False)
    spare: SpareCopy = field(init=False)
    recorder: Recorder = field(init=False)
    driver: Driver = field(init=False)

    # --- life ------------------------------------------------------------------

    def reboot(self) -> None:
        """Begin another boot: its monotonic clock starts anew."""
        self.boots += 1
        self.boot = BootId(derived_bytes(f"chaos boot {self.boots}", 16).hex())
        self.clock.boot_s = self.clock.now_s - 7.0
        shutil.rmtree(self.memory, ignore_errors=True)
        self.memory.mkdir()
        self.owed.clear()

    def start(self) -> None:
        """Start as the agent's app does.

        Raises:
            LinewatchError, CutError: it can't; systemd tries again later.
        """
        assert not self.running
        self.starts += 1
        now_ms = self.clock.mono_ms()
        self.keys = SigningKeys.open(
            self.disk.root,
            probe=PROBE,
            first_seed=lambda: derived_bytes("root seed"),
            boot=self.boot,
            now_ms=now_ms,
        )
        self.rotate_key()
        store = open_store(
            self.disk.root,
            owner=Owner(PROBE, self.boot, (recipient("fleet"),)),
            new_epoch=Epoch(derived_bytes(f"chaos epoch {self.starts}", 8).hex()),
            keys=self.keys,
            limits=LIMITS,
            now_ms=now_ms,
        )
        store.__class__ = ToldStore
        self.store = cast(ToldStore, store)
        self.store.ledger = self.ledger
        self.running = True
        self.epoch = store.epoch
        held = store.held()
        chains = [Range((store.epoch, one.stream), one.first, one.last) for one in held]
        is_new = not self.ledger.started(store.epoch, chains, next_boot=self.boot)
        mark = store.last_mark
        spared = read_spare(self.memory, epoch=store.epoch, boot=self.boot, stored=mark)
        self._begin(held)
        self.recorder.event(BootStarted(now_ms, "0.1.0"))
        gap = self.store.opening_gap(now_ms, spared_ms=spared.safe_ms if spared else 0)
        if gap is not None:
            self.recorder.event(gap)
        if spared is not None:
            self.recorder.take_over(spared.bodies)
        if not is_new:
            kept = {token_of(body) for _, body in self.recorder._waiting._bodies}
            self.ledger.check_kept(store.epoch, self.owed - kept)
        self.owed.clear()

    def _begin(self, held: Sequence[SealedRange]) -> None:
        machine = Uploader(epoch=self.store.epoch)
        for stream, ack in self.store.acks().items():
            machine.load_ack(stream, ack)
        old = OldStores(self.disk.root, probe=PROBE, keys=self.keys)
        self.driver = Driver(machine, self.store, self.keys, old, self.clock, self.broker)
        for one in held:
            self.driver.tell(Held(one.stream, one.first, one.last))
        self.spare = SpareCopy(
            self.memory,
            epoch=self.store.epoch,
            boot=self.boot,
            run=derived_bytes(f"run {self.starts}", RUN_BYTES),
            run_before=self.store.last_mark.run,
        )
        self.recorder = Recorder(
            self.store,
            cast(WriterThread, _Here()),
            boot=self.boot,
            commit_s=COMMIT_S,
            commit_records=COMMIT_RECORDS,
            measured_ms=self.clock.mono_ms,
            listeners=Listeners(
                sealed=lambda one: self.driver.tell(Held(one.stream, one.first, one.last)),
                dropped=lambda one: self.driver.tell(Dropped(one.stream, one.first, one.last)),
                live=lambda: self.driver.conn is not None,
            ),
            spare=self.spare,
            waiting_max=WAITING_MAX,
        )

    def rotate_key(self) -> None:
        """Take a new signing key if one is due."""
        seed = derived_bytes(f"chaos seed {self.starts} {self.clock.now_s}")
        self.keys.rotate_if_due(boot=self.boot, now_ms=self.clock.mono_ms(), seed=lambda: seed)

    def end(self) -> None:
        """Be gone, without a word."""
        if self.running:
            self.running = False
            self.store.close()
            self.ledger.ended()
            if not hasattr(self, "recorder"):
                return  # What the very first start found was broken.
            self.spare.close()
            for number, body in self.recorder._waiting._bodies:
                token = token_of(body)
                if number <= self.spare.through and token is not None:
                    self.owed.add(token)

    def stop(self) -> None:
        """End as on SIGTERM: commit, seal, note a clean end."""
        now_ms = self.clock.mono_ms()
        for roll in self.recorder._rollup.take_all(now_ms):
            self.recorder._put(roll)
        self._run(self.recorder._commit_all())
        for one in self.store.stop(now_ms=now_ms, safe_ms=self.recorder.safe_ms()):
            self.driver.tell(Held(one.stream, one.first, one.last))

    # --- measuring ----------------------------------------------------------------

    def measure(self, count: int) -> None:
        """Take samples, each told apart by its time."""
        for _ in range(count):
            self.tokens += 1
            now_ms = self.clock.mono_ms()
            self.ledger.was_measured(self.tokens, now_ms)
            self.recorder.sample(
                Sample(
                    mono_ms=now_ms,
                    slot_ms=now_ms,
                    round_ms=now_ms,
                    line=f"line-{self.tokens % 2}",
                    target="target",
                    check=Check.TCP,
                    family=4,
                    rtt_us=self.tokens * 10,
                    # Tells no compressor anything: a segment has about 1.5 KB.
                    address=derived_bytes(f"noise {self.tokens}", 48).hex(),
                )
            )

    def change_a_line(self) -> None:
        """Take an event."""
        self.tokens += 1
        now_ms = self.clock.mono_ms()
        self.ledger.was_measured(self.tokens, now_ms)
        self.recorder.event(LineChanged(now_ms, f"line-{self.tokens}", LineKind.FIXED, True, (4,)))

    def record(self) -> None:
        """Let the recorder do what is due."""
        self._run(self.recorder._work())

    @staticmethod
    def _run(step: Coroutine[Any, Any, None]) -> None:
        try:
            step.send(None)
        except StopIteration:
            return
        raise AssertionError("the recorder waits for something")
