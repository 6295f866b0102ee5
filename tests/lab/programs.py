"""The real programs in the lab: server and broker behind the gateway, the agent on the probe.

Each runs as its users run it, by its command, as a process in its place's namespace.
What they keep is in the lab's folder and goes with it. Scenarios are not known here.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from linewatch_agent.status import NotRunningError, ask
from linewatch_core.errors import LinewatchError
from tests.lab.country import Country
from tests.lab.disk import Disk
from tests.lab.wall_clock import WallClock

AGENT, SERVER = "linewatch_agent", "linewatch_server"
ROOT = Path(__file__).parents[2]
READY_S = 60.0
STOP_S = 60.0
LOOK_S = 0.1
BOOTED_S = 20
"""How long a boot has lasted when its agent starts."""
_START = "--- start\n"


class ProgramError(LinewatchError):
    """A program of the lab did not do what it must; the text has its last words."""


class Programs:
    """Starts, stops and kills the programs of one lab."""

    def __init__(self, country: Country, *, round_s: float) -> None:
        self._country = country
        self._round_s = round_s
        self._agent_env: dict[str, str] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.folder = country.folder
        self.server = self.folder / "server"
        self.state = self.folder / "probe"
        self.config = self.folder / "linewatch.toml"
        self.disk = Disk(self.state)
        self.clock: WallClock | None = None
        self.probe = ""

    def set_up(
        self,
        config: str,
        *,
        agent_env: dict[str, str] | None = None,
        disk_mb: int | None = None,
        own_clock: bool = False,
    ) -> None:
        """Make a server and one enrolled probe with this configuration.

        Args:
            agent_env: what the agent finds in its environment besides the lab's trust.
            disk_mb: the size of a small disk for the probe's state; None: a plain folder.
            own_clock: the probe has a wall clock of its own, `clock`, which may lie.
        Raises:
            ProgramError: a command failed; its words are in the text.
        """
        self._agent_env = {**self._country.trust, **(agent_env or {})}
        if own_clock:
            self.clock = WallClock(self.folder)
        if disk_mb is not None:
            self.disk.mount(disk_mb)
        host = self._country.plan.address_of("server")
        self._command("server", SERVER, "init", self.server, "--host", host)
        settings = self.server / "server.toml"
        text = settings.read_text().replace("external = false", "external = true")
        settings.write_text(text + "error_ms = 10\n")
        token = self.folder / "token.toml"
        token.write_text(self._command("server", SERVER, "enrol", self.server, "--label", "lab"))
        self._command("probe", AGENT, "enrol", token, "--state", self.state)
        self.config.write_text(config)
        identity = json.loads((self.state / "identity/identity.json").read_bytes())
        self.probe = str(identity["probe"])

    def start_broker(self) -> None:
        """Start Mosquitto, and return when it takes connections."""
        self._start("broker", "server", SERVER, "broker", self.server)
        self._until("broker", lambda: "broker_started" in self.new_log("broker"))

    def start_server(self) -> None:
        """Start collector and web, and return when messages are taken."""
        self._start("server", "server", SERVER, "run", self.server)
        self._until("server", lambda: "broker_joined" in self.new_log("server"))

    def start_agent(self) -> None:
        """Boot the probe: another boot id, a clock that begins anew, and the agent."""
        boot = self.folder / "boot_id"
        boot.write_text(f"{uuid.UUID(bytes=secrets.token_bytes(16), version=4)}\n")
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        as_booted = ("unshare", "--time", "--boottime", str(BOOTED_S - int(uptime_s)))
        own = ["--boot", str(boot), "--round-s", str(self._round_s)]
        env = self._agent_env
        if self.clock is not None:
            own += ["--clock", str(self.clock.path)]
            env = {**env, **self.clock.env()}
        command = (AGENT, "run", "--config", self.config, "--state", self.state)
        self._start("agent", "probe", *command, before=as_booted, own=own, env=env)
        self._until("agent", lambda: self.status() is not None)

    def status(self) -> dict[str, Any] | None:
        """Return the agent's status, or None while it does not answer."""
        if "agent" not in self._running:
            return None
        try:
            return ask(self.state)
        except NotRunningError:
            return None

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of CPU that each running program has used."""
        return {name: cpu_s(process.pid) for name, process in self._running.items()}

    def check(self) -> None:
        """Raise ProgramError if a program ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ProgramError(f"cannot go on: {name} ended by itself:\n{self._tail(name)}")

    def stop(self, name: str) -> None:
        """End a program with SIGTERM; nothing if it does not run."""
        self._end(name, subprocess.Popen.terminate)

    def kill(self, name: str) -> None:
        """End a program with SIGKILL; nothing if it does not run."""
        self._end(name, subprocess.Popen.kill)

    def stop_all(self) -> None:
        """End all of them, the last one first."""
        for name in reversed(list(self._running)):
            self.stop(name)

    def new_log(self, name: str) -> str:
        """Return what a program has logged since its last start."""
        return self._log(name).read_text().rpartition(_START)[2]

    def _start(
        self,
        name: str,
        place: str,
        *command: str | Path,
        before: tuple[str, ...] = (),
        own: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        launcher = (*before, sys.executable, "-m", "tests.lab.process", *own)
        with self._log(name).open("a") as log:
            log.write(_START)
            log.flush()
            self._running[name] = subprocess.Popen(
                self._country.netns(place).inside(*launcher, *map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is the lab's to hear
            )

    def _command(self, place: str, module: str, *arguments: str | Path) -> str:
        command = (sys.executable, "-m", module, *map(str, arguments))
        try:
            return self._country.netns(place).run(*command)
        except RuntimeError as error:
            raise ProgramError(str(error)) from error

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProgramError(
                    f"cannot start {name}: not ready in {READY_S:g} s:\n{self._tail(name)}"
                )
            time.sleep(LOOK_S)

    def _end(self, name: str, how: Callable[["subprocess.Popen[bytes]"], None]) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        how(process)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return "\n".join(self.new_log(name).splitlines()[-20:])


class Backup:
    """A copy of a server's archive and index, to put back later."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._copy = server.with_name("backup")

    def take(self) -> None:
        """Copy what the server has; it must not run."""
        shutil.copytree(self._server, self._copy)

    def restore(self) -> None:
        """Put the copy in place of what the server has; it must not run, nor the broker."""
        shutil.rmtree(self._server)
        shutil.copytree(self._copy, self._server)


def wipe_broker(server: Path) -> None:
    """Take away what a broker that does not run has kept."""
    shutil.rmtree(server / "broker" / "data", ignore_errors=True)


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, the children it waited for included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
