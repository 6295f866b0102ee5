"""A whole Linewatch in namespaces: server, broker and probe at home, targets behind a line.

Every program runs as its users run it: by its command, as a process. Traffic
stays between the two namespaces.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linewatch_server.broker.files import broker_pid
from linewatch_server.settings import Layout
from tests.support.netns import Netns, namespaces, wire

HOME4, ISP4 = "10.77.0.2", "10.77.0.1"
HOME6, ISP6 = "fd77::2", "fd77::1"
AGENT = (sys.executable, "-m", "linewatch_agent")
SERVER = (sys.executable, "-m", "linewatch_server")
READY_S = 120.0

CONFIG = f"""
[schedule]
period_s = 1.0
jitter_s = 0.1
timeout_s = 0.8

[targets]
sets = []
local = false

[[target]]
id = "site-a"
role = "domestic"
host = "{ISP4}"
port = 9000
checks = ["tcp", "icmp"]

[[target]]
id = "site-b"
role = "international"
host = "{ISP4}"
port = 9001
checks = ["tcp"]

[budget]
month_mb = 1_000_000

[store]
commit_s = 5.0
live_close_s = 1.0

[uplink]
bind = "any"
retry_max_s = 2.0
"""


@dataclass(slots=True)
class World:
    """The running programs, by name, and where their files are; `memory` is on no disk."""

    home: Netns
    isp: Netns
    folder: Path
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    memory: Path | None = None

    @property
    def server(self) -> Path:
        """The server's directory."""
        return self.folder / "server"

    @property
    def state(self) -> Path:
        """The probe's state folder."""
        return self.folder / "probe"

    @property
    def config(self) -> Path:
        """The probe's configuration file."""
        return self.folder / "agent.toml"

    def command(
        self, *command: str | Path, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command at home to its end."""
        done = subprocess.run(
            self.home.inside(*map(str, command)),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{command} failed: {done.stderr}"
        return done

    def start(self, name: str, *command: str | Path) -> None:
        """Start a program at home; its log goes to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.home.inside(*map(str, command)), stdout=log, stderr=log
            )

    def stop(self, name: str) -> int:
        """End a program with SIGTERM; return its exit code."""
        process = self.running.pop(name)
        process.terminate()
        return process.wait(60)

    def kill(self, name: str) -> None:
        """End a program with SIGKILL."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def kill_broker(self) -> None:
        """End an external broker with SIGKILL: its keeper first, or that starts it again."""
        self.until("the broker", lambda: broker_pid(Layout(self.server)) is not None)
        pid = broker_pid(Layout(self.server))
        if "broker" in self.running:
            self.kill("broker")
        self.home.run("sh", "-c", f"kill -9 {pid}")
        self.until("the broker's end", lambda: broker_pid(Layout(self.server)) is None)

    def wipe_broker(self) -> None:
        """Take away what a broker that does not run has kept."""
        shutil.rmtree(self.server / "broker" / "data", ignore_errors=True)

    def route_home(self) -> None:
        """Lead home's packets through the line; a device that was down has lost its routes."""
        self.home.run("ip", "route", "replace", "default", "via", ISP4)
        self.home.run("ip", "-6", "addr", "replace", f"{HOME6}/64", "dev", "eth0", "nodad")
        self.home.run("ip", "-6", "route", "replace", "default", "via", ISP6)

    def stop_all(self) -> None:
        """End what still runs."""
        for name in reversed(list(self.running)):
            self.stop(name)

    def log(self, name: str) -> str:
        """Return what a program has logged."""
        return (self.folder / f"{name}.log").read_text()

    def set_up_server(self, *, external_broker: bool = False) -> None:
        """Make the server's directory; the ports are the usual ones: home is its own network."""
        self.command(*SERVER, "init", self.server, "--host", HOME4)
        settings = (self.server / "server.toml").read_text() + "error_ms = 10\n"
        if external_broker:
            settings = settings.replace("external = false", "external = true")
        (self.server / "server.toml").write_text(settings)

    def start_server(self) -> None:
        """Start the server and wait until it takes messages."""
        self.start("server", *SERVER, "run", self.server)
        self.until("the server", lambda: "broker_joined" in self.log("server"))

    def enrol(self, config: str = CONFIG) -> str:
        """Make a probe of this fleet and return its id."""
        token = self.folder / "token.toml"
        token.write_text(self.command(*SERVER, "enrol", self.server, "--label", "test").stdout)
        self.command(*AGENT, "enrol", token, "--state", self.state)
        self.config.write_text(config)
        identity = json.loads((self.state / "identity/identity.json").read_bytes())
        return str(identity["probe"])

    def start_agent(self) -> None:
        """Start the probe's agent."""
        memory = ("env", f"RUNTIME_DIRECTORY={self.memory or ''}")
        self.start("agent", *memory, *AGENT, "run", "--config", self.config, "--state", self.state)

    def status(self) -> dict[str, Any] | None:
        """Return the agent's status, or None while it does not answer."""
        done = self.command(*AGENT, "status", "--state", self.state, "--json", check=False)
        if done.returncode:
            return None
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def until(self, what: str, ready: Callable[[], object], *, patience_s: float = READY_S) -> None:
        """Wait until `ready()` is true; fail with the logs if it does not come to that."""
        deadline = time.monotonic() + patience_s
        while not ready():
            for name, process in self.running.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{what} did not happen:\n{self._logs()}"
            time.sleep(0.2)

    def until_synced(self, *, patience_s: float = READY_S) -> None:
        """Wait until the server has all that the probe has sealed."""

        def synced() -> bool:
            status = self.status()
            if status is None or not status["uplink"]["connected"]:
                return False
            store = status["store"]
            return bool(store["backlog_sealed"] == 0 and store["acked"]["raw"] > 0)

        self.until("syncing", synced, patience_s=patience_s)

    def _logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log")
        )


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make a home with one line, and targets behind it; end and remove all of it afterwards."""
    memory = tempfile.TemporaryDirectory(dir="/dev/shm")
    with memory, namespaces("home", "isp") as (home, isp):
        wire(
            (home, "eth0", (f"{HOME4}/24", f"{HOME6}/64")),
            (isp, "isp0", (f"{ISP4}/24", f"{ISP6}/64")),
        )
        home.allow_ping()
        here = World(home, isp, folder, memory=Path(memory.name))
        here.route_home()
        try:
            yield here
        finally:
            here.stop_all()


@contextmanager
def behind_a_cable(folder: Path, *addresses: str) -> Iterator[World]:
    """Make a home whose server and broker run; a machine that a test boots is plugged in later.

    Its addresses, HOME4 and those given, answer whoever is on that cable.
    """
    with namespaces("home") as (netns,):
        for address in (HOME4, *addresses):
            netns.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        here = World(netns, netns, folder)
        try:
            here.set_up_server()
            here.start_server()
            yield here
        finally:
            here.stop_all()


def boottime_ms() -> int:
    """Return CLOCK_BOOTTIME in ms: the clock that records are placed by."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


async def serve_ledger(address: str, ports: list[int], path: str) -> None:
    """Accept on TCP ports for ever; append `port boottime_ms` to a file for each connection.

    The time is the handshake's, by the kernel: when we get to accept depends on the machine.
    """
    import asyncio
    import socket
    import struct

    def since_handshake_ms(connection: socket.socket) -> int:
        # tcpi_last_data_recv of include/uapi/linux/tcp.h; nothing is sent to us.
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)
        return int(struct.unpack_from("=I", info, 52)[0])

    loop = asyncio.get_running_loop()
    ledger = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def accept(port: int) -> None:
        listener = socket.create_server((address, port))
        listener.setblocking(False)
        while True:
            connection, _ = await loop.sock_accept(listener)
            at_ms = boottime_ms() - since_handshake_ms(connection)
            os.write(ledger, f"{port} {at_ms}\n".encode())
            connection.close()

    tasks = [asyncio.create_task(accept(port)) for port in ports]
    await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*tasks)
