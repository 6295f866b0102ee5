"""The world of a soak: programs that run, faults that come and go, readings in between.

Everything is started, killed and mended here; what is decided when is in faults.py.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from linewatch_core.ids import ProbeId
from linewatch_server.audit import Audit, audit
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.settings import Layout
from tests.lab.disk import Disk
from tests.soak.faults import Fault, Kind, faults
from tests.soak.figures import Reading, read
from tests.support.world import ISP4, SERVER, World, world

READ_EVERY_S = 10.0
SYNC_S = 300.0
DISK_MB = 256
PORTS = [9000, 9001]


class Life:
    """An agent, its broker and its server, and the faults that befall them."""

    def __init__(self, here: World, say: Callable[[str], None]) -> None:
        self._here = here
        self._say = say
        self._disk = Disk(here.state)
        self._began_s = 0.0
        self.readings: list[Reading] = []
        self.probe = ProbeId("")

    def begin(self) -> None:
        """Start everything, and return once the first records are at the server."""
        here = self._here
        here.isp.serve("tests.support.world:serve_ledger", ISP4, PORTS, "/dev/null")
        here.set_up_server(external_broker=True)
        self._disk.mount(DISK_MB)
        self._start_broker()
        here.start_server()
        self.probe = ProbeId(here.enrol())
        here.start_agent()
        here.until_synced()

    def go_through(self, seed: int, length_s: float) -> int:
        """Let the faults of a seed come and go, and read meanwhile; return how many came."""
        self._began_s = time.monotonic()
        came = list(faults(seed, length_s))
        for fault in came:
            self._read_until(fault.at_s)
            self._say(f"{self._now_s():8.0f} s  {fault.kind} for {fault.lasts_s:.0f} s")
            self._strike(fault)
            self._read_until(fault.at_s + fault.lasts_s)
            self._mend(fault.kind)
        self._read_until(length_s)
        return len(came)

    def end(self) -> Audit:
        """Wait until all is handed over, stop, and count what the server's archive holds."""
        here = self._here
        here.until_synced(patience_s=SYNC_S)
        here.stop("agent")
        here.stop("server")
        secrets = recipient_secrets(Layout(here.server))
        found = audit(here.server, self.probe, recipient_secrets=secrets)
        if found.quarantined:
            self._say(
                here.command(*SERVER, "quarantine", here.server, "--probe", self.probe).stdout
            )
        return found

    def _strike(self, fault: Fault) -> None:
        here = self._here
        match fault.kind:
            case Kind.BROKER:
                here.kill_broker()
            case Kind.BROKER_WIPED:
                here.kill_broker()
                here.wipe_broker()
            case Kind.SERVER:
                here.kill("server")
            case Kind.LINE:
                here.home.run("ip", "link", "set", "eth0", "down")
            case Kind.DISK_FULL:
                # A store that is just writing may take the last byte from under it.
                with contextlib.suppress(OSError):
                    self._disk.fill()

    def _mend(self, kind: Kind) -> None:
        here = self._here
        match kind:
            case Kind.BROKER | Kind.BROKER_WIPED:
                self._start_broker()
            case Kind.SERVER:
                here.start("server", *SERVER, "run", here.server)
            case Kind.LINE:
                here.home.run("ip", "link", "set", "eth0", "up")
                here.route_home()
            case Kind.DISK_FULL:
                self._disk.clear()

    def _start_broker(self) -> None:
        self._here.start("broker", *SERVER, "broker", self._here.server)

    def _read_until(self, at_s: float) -> None:
        while (left_s := at_s - self._now_s()) > 0:
            due_s = len(self.readings) * READ_EVERY_S - self._now_s()
            time.sleep(max(0.0, min(left_s, due_s)))
            if due_s <= left_s:
                agent = self._here.running["agent"]
                assert agent.poll() is None, f"the agent ended:\n{self._here.log('agent')[-3000:]}"
                self.readings.append(read(agent.pid, self._here.state, self._now_s()))

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s


@contextlib.contextmanager
def life(folder: Path, say: Callable[[str], None]) -> Iterator[Life]:
    """Make the world of a soak; end and remove all of it afterwards."""
    with world(folder) as here:
        try:
            yield Life(here, say)
        finally:
            here.stop_all()
            subprocess.run(["umount", here.state], check=False, capture_output=True)
