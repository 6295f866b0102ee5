"""Starts the demo's programs as a person would: by their commands, as processes.

Whatever ends the demo ends them; what they log goes to files beside their state.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AGENT = (sys.executable, "-m", "linewatch_agent")
SERVER = (sys.executable, "-m", "linewatch_server")
START_S = 30.0
STOP_S = 20.0


class DemoError(Exception):
    """The demo can't go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of the demo's server: the usual ones, or others where those are taken."""

    mqtts: int
    wss: int
    web: int


def choose_ports() -> Ports:
    """Return 8883, 8443 and 8080, each replaced by a free one if it is in use."""
    return Ports(*(port if _is_free(port) else _any_free() for port in (8883, 8443, 8080)))


@dataclass(slots=True)
class Programs:
    """The processes of one demo, and the folder that all of them use."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def in_fresh(cls, folder: Path) -> "Programs":
        """Use `folder`, emptied of an earlier demo's files; nothing else is ever removed."""
        marker = folder / ".linewatch-demo"
        try:
            if folder.exists() and any(folder.iterdir()) and not marker.exists():
                raise DemoError(
                    f"{folder} holds files that are not a demo's: choose another --state"
                )
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            marker.touch()
        except OSError as error:
            raise DemoError(
                f"cannot use {folder}: {error.strerror}; choose another --state"
            ) from error
        return cls(folder)

    def log_path(self, name: str) -> Path:
        """Return where the program's log goes."""
        return self.folder / f"{name}.log"

    def start(self, name: str, *command: str | Path) -> None:
        """Start a program in the background."""
        with self.log_path(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [str(part) for part in command], stdout=log, stderr=log, start_new_session=True
            )

    def stop(self, name: str) -> None:
        """End a program as a service manager would: SIGTERM, and SIGKILL if it does not listen."""
        process = self.running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """End a program as a power cut would."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop_all(self) -> None:
        """End every program, the last started first."""
        for name in reversed(list(self.running)):
            self.stop(name)

    def check(self) -> None:
        """Raise DemoError if a program has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise DemoError(f"the {name} ended by itself: {self._last_line(name)}")

    def wait_for(self, what: str, ready: Callable[[], object]) -> None:
        """Wait until `ready()` is true, at most 30 s."""
        deadline = time.monotonic() + START_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not come up; the logs are in {self.folder}")
            time.sleep(0.1)

    def _last_line(self, name: str) -> str:
        lines = self.log_path(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def run(*command: str | Path, check: bool = True) -> str:
    """Run a command to its end and return what it printed; with `check`, a failure is an error."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise DemoError((done.stderr or done.stdout).strip() or f"{command[-1]} failed")
    return done.stdout


def get_json(url: str) -> Any:
    """Return the JSON at a URL of this machine, or None while nothing answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return json.loads(reply.read())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return False
    return True


def _any_free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
