"""All parts of one run, and how their time passes: who is started, ended, and told what.

A process that ends, whatever ended it, is started again some time later, as
systemd would. What the product may not raise ends the run.
"""

import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from linewatch_core.errors import LinewatchError
from tests.chaos.broker import Broker, Weather
from tests.chaos.disk import CutError, End
from tests.chaos.ledger import BrokenError, Ledger
from tests.chaos.pack_reader import packs
from tests.chaos.patches import Clock
from tests.chaos.probe import Probe
from tests.chaos.server import Server

QUIET_STEPS = 500


@dataclass(slots=True)
class World:
    """All parts of one run, and what is to be told of it."""

    rng: random.Random
    clock: Clock
    broker: Broker
    ledger: Ledger
    probe: Probe
    server: Server
    down_until_s: float = 0.0
    server_down_until_s: float = 0.0
    connect_at_s: float = 0.0
    trace: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    def note(self, event: str, detail: object = "") -> None:
        """Write one line of the trace and count the event."""
        self.events[event] += 1
        # The folder's name is the only thing that differs from run to run.
        told = str(detail).replace(str(self.probe.disk.root.parent), "")
        self.trace.append(f"{self.clock.now_s:9.1f} {event} {told}")

    # --- the probe ----------------------------------------------------------

    def run_probe(self, step: Callable[[], None]) -> None:
        """Run a step of the probe's process; whatever ends it, it is started again later."""
        try:
            step()
        except (LinewatchError, CutError, OSError, sqlite3.Error) as error:
            if isinstance(error, BrokenError):
                raise
            self.note("probe ends", f"{type(error).__name__}: {error}")
            self.events["store went back"] += "went back" in str(error)
            self.lose_probe(End.KILL)
        if self.probe.disk.dead:
            self.lose_probe(End.KILL)

    def lose_probe(self, end: End) -> None:
        """End the probe's process; after a power cut the machine boots anew."""
        disk = self.probe.disk
        cut = disk.fuse_end if disk.dead else end
        if not disk.dead:
            disk.cut(end)
        self.probe.end()
        disk.revive()
        self.note("probe gone", cut)
        if cut is End.POWER or self.rng.random() < 0.2:
            self.probe.reboot()
        self.down_until_s = self.clock.now_s + self.rng.choice([0, 5, 60])

    def probe_step(self, *, measure: bool) -> None:
        """Start the probe if it is down; measure, record, talk."""
        probe = self.probe
        if not probe.running:
            if self.clock.now_s < self.down_until_s:
                return
            probe.start()
            self.note("probe starts", probe.store.epoch)
        if measure:
            probe.measure(self.rng.randrange(6))
            if self.rng.random() < 0.1:
                probe.change_a_line()
        probe.record()
        self._talk()
        self.trace.append(
            f"{self.clock.now_s:9.1f}   committed {list(probe.store.counts().committed.values())}"
            f" waiting {len(probe.recorder._waiting)} backlog {probe.driver.machine.backlog()}"
        )

    def _talk(self) -> None:
        driver, weather = self.probe.driver, self.broker.weather
        if driver.conn is not None and weather.partition and self.rng.random() < 0.3:
            driver.disconnect()
        if driver.conn is None and self.clock.now_s >= self.connect_at_s and not weather.partition:
            driver.connect()
            self.connect_at_s = self.clock.now_s + self.rng.uniform(0, 20)
        for conn, payload in self.broker.for_probe(self.clock.now_s):
            driver.hear(conn, payload)
            driver.obey()
        driver.obey()

    # --- the server ---------------------------------------------------------

    def run_server(self, step: Callable[[], None]) -> None:
        """Run a step of the server's process; whatever ends it, it is started again later."""
        try:
            step()
        except (LinewatchError, CutError, OSError, sqlite3.Error) as error:
            if isinstance(error, BrokenError):
                raise
            self.note("server ends", f"{type(error).__name__}: {error}")
            self.lose_server(End.KILL)
        if self.server.disk.dead:
            self.lose_server(End.KILL)

    def lose_server(self, end: End) -> None:
        """End the server's process."""
        disk = self.server.disk
        cut = disk.fuse_end if disk.dead else end
        if not disk.dead:
            disk.cut(end)
        self.server.end()
        disk.revive()
        self.note("server gone", cut)
        self.server_down_until_s = self.clock.now_s + self.rng.choice([0, 5, 60])

    def server_step(self) -> None:
        """Start the server if it is down; store, acknowledge."""
        if not self.server.running and self.clock.now_s >= self.server_down_until_s:
            started = self.server.start()
            self.note("server starts", started)
        self.server.step(self.clock.now_s)

    # --- time ---------------------------------------------------------------

    def step(self, dt_s: float, *, measure: bool = True) -> None:
        """Let some time pass."""
        self.clock.now_s += dt_s
        self.run_probe(lambda: self.probe_step(measure=measure))
        self.run_server(self.server_step)

    def quiet_down(self) -> None:
        """Take all faults away and wait until nothing is left to be sent.

        Raises:
            BrokenError: that does not come to an end.
        """
        for disk in (self.probe.disk, self.server.disk):
            disk.capacity_bytes = None
            disk.read_only = disk.sync_fails = False
            disk.fuse = None
        self.broker.weather = Weather()
        self.server.mute = False
        self.note("quiet")
        for count in range(QUIET_STEPS):
            self.step(self.rng.choice([1, 5, 20]), measure=False)
            if count >= 5 and self._is_done():
                self.probe.stop()
                if self._is_done():
                    self.events["old segment sent"] += self.probe.driver.old.sent
                    return
        raise BrokenError(
            f"after {QUIET_STEPS} quiet steps {self.probe.driver.machine.backlog()} records wait"
        )

    def _is_done(self) -> bool:
        probe = self.probe
        return (
            probe.running
            and not probe.driver.machine.backlog()
            and not probe.recorder._waiting
            and not any(probe.store.open_records().values())
            and probe.driver.old.is_done()
        )

    def digest(self) -> str:
        """Return the digest of everything that happened."""
        sha256 = hashlib.sha256("\n".join(self.trace).encode())
        for path in packs(self.server.disk.root):
            sha256.update(path.read_bytes())
        return sha256.hexdigest()
