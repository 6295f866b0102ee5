"""The broker as a child process: started, watched, started again, stopped.

Knows Mosquitto's command line and nothing of MQTT. Its log is bounded, since
whoever reaches the port can make it complain.
"""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import socket
import ssl
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from pathlib import Path

import structlog

from linewatch_server.broker.files import (
    broker_pid,
    configuration_path,
    write_broker_files,
)
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout, SetupError, load_settings

log = structlog.get_logger()

START_S = 10.0
STOP_S = 5.0
RESTART_MAX_S = 30.0
STEADY_S = 5.0
PAUSE_S = 1.0
"""A broker that lasted less than the one waits for the other: no crash loop at full speed."""
LOG_BYTES_MAX = 1_048_576
OPEN_FILES = 65_536
"""One a connection; the usual limit of 1,024 would be the size of the fleet."""
_QUIRKS = ("should not be run as root",)
"""Warnings that say nothing: as root it keeps root, or it could not read its keys."""


class BrokerProcess:
    """Mosquitto for the server in one directory."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)
        self.settings = load_settings(directory)
        self._registry = Registry(self.layout.registry)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._last: deque[str] = deque(maxlen=20)
        self.ready = asyncio.Event()
        """Set while the broker takes connections, as far as is known."""

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the broker, and return when it takes TLS connections.

        Raises:
            SetupError: not installed, a port is taken, or what Mosquitto says; one line.
        """
        program = find_mosquitto()
        while True:
            await self._stop_leftover()
            revoked = self._registry.revoked_names()
            await self._start_once(program)
            if revoked == self._registry.revoked_names():
                self.ready.set()
                return
            await self.stop()  # somebody was revoked just now, and nobody saw us to tell

    async def _start_once(self, program: str) -> None:
        self._check_ports()
        write_broker_files(self.layout, self.settings, self._registry)
        _allow_open_files()
        self._last.clear()
        self._process = await asyncio.create_subprocess_exec(
            program,
            "-c",
            str(configuration_path(self.layout).absolute()),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self._reader = asyncio.create_task(self._read_log(self._process), name="broker-log")
        try:
            await self._until_ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> str:
        """Wait until the broker ends by itself; return its last words in one line."""
        if self._process is None or self._reader is None:
            raise RuntimeError("the broker was not started")
        code = await self._process.wait()
        self.ready.clear()
        await self._reader
        return f"{self._complaint()} (exit code {code})"

    async def run(self) -> None:
        """Start the broker, and again whenever it ends, for ever; stop it when cancelled.

        Raises:
            SetupError: the first start failed.
        """
        await self.start()
        await self.keep()

    async def keep(self) -> None:
        """Start a started broker again whenever it ends, for ever; stop it when cancelled."""
        try:
            while True:
                began_s = asyncio.get_running_loop().time()
                log.warning("broker_ended", reason=await self.wait())
                if asyncio.get_running_loop().time() - began_s < STEADY_S:
                    await asyncio.sleep(PAUSE_S)
                await self._start_again()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop the broker: SIGTERM, and SIGKILL after 5 s."""
        self.ready.clear()
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    async def _start_again(self) -> None:
        """Start after an end; a registry or port in a bad state may mend."""
        wait_s = 0.1
        while True:
            try:
                await self.start()
                return
            except SetupError as error:
                log.error("broker_not_started", reason=str(error), retry_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RESTART_MAX_S)

    async def _stop_leftover(self) -> None:
        """End a broker that a killed server of the same directory left behind."""
        deadline = asyncio.get_running_loop().time() + STOP_S
        while (pid := broker_pid(self.layout)) is not None:
            late = asyncio.get_running_loop().time() > deadline
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            await asyncio.sleep(0.1)

    def _check_ports(self) -> None:
        broker = self.settings.broker
        ports = {"broker.mqtts_port": broker.mqtts_port, "broker.wss_port": broker.wss_port}
        for key, port in ports.items():
            if port:
                check_port(broker.bind, port, key=key, settings=self.layout.settings)

    async def _until_ready(self, process: Process) -> None:
        broker = self.settings.broker
        host = broker.bind if broker.bind not in {"", "0.0.0.0", "::"} else "localhost"
        try:
            async with asyncio.timeout(START_S):
                while process.returncode is None:
                    if await _takes_tls(host, broker.mqtts_port):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise SetupError(
                f"cannot start the broker: it takes no connection on port {broker.mqtts_port}; "
                f"see {self.layout.broker / 'log'}"
            ) from None
        if self._reader is not None:
            await self._reader
        raise SetupError(f"cannot start the broker: {self._complaint()}")

    def _complaint(self) -> str:
        """Return the line of its log that says most."""
        errors = [line for line in self._last if "error" in line.lower()]
        return (errors or list(self._last) or ["it ended without a word"])[-1]

    async def _read_log(self, process: Process) -> None:
        """Keep what the broker says: the last lines here, up to 2 MiB in two files."""
        assert process.stderr is not None
        path = self.layout.broker / "log"
        async for raw in process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if any(quirk in line for quirk in _QUIRKS):
                continue
            self._last.append(line.split(": ", 1)[-1])
            with path.open("a") as file:
                file.write(line + "\n")
                full = file.tell() > LOG_BYTES_MAX
            if full:
                path.replace(path.with_name("log.1"))


def find_mosquitto() -> str:
    """Return the path of Mosquitto, which Debian puts where users do not look."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SetupError(
            "cannot start the broker: mosquitto is not installed; run: "
            "sudo apt-get install mosquitto"
        )
    return found


def check_port(bind: str, port: int, *, key: str, settings: Path) -> None:
    """Raise SetupError if a TCP port cannot be listened on; `key` is its name in server.toml."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((bind, port))
            sock.listen(1)
        except PermissionError:
            why = f"port {port} is for root only; choose one above 1023 as {key} in {settings}"
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if taken else f"fails: {error.strerror}"
            why = f"port {port} {reason}; stop that program or change {key} in {settings}"
        else:
            return
    raise SetupError(f"cannot listen: {why}")


async def _takes_tls(host: str, port: int) -> bool:
    """Return whether a TLS server answers; who it is does not matter for that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # In 1.3 our handshake is done before the server looks for our certificate.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    except OSError:
        return False
    writer.transport.abort()
    return True


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
