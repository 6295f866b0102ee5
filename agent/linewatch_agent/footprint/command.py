"""Measures the running agent, or one that it starts for the purpose, for some minutes."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from linewatch_agent import clock
from linewatch_agent.footprint import kernel
from linewatch_agent.footprint.figures import LineBytes, Measured, Reading
from linewatch_agent.status import NotRunningError, ask
from linewatch_agent.store.database import STORE_FILE
from linewatch_core.errors import LinewatchError

LOOK_S = 5.0
START_S = 120.0
STOP_S = 30.0


class FootprintError(LinewatchError):
    """It can't be measured; the text says why and what to do."""


async def measure(state: Path, *, seconds: float) -> Measured:
    """Look at the agent that runs on a state folder, for so long.

    Raises:
        LinewatchError: none runs, or it ends meanwhile.
    """
    disk = kernel.disk_of(state)
    status = ask(state)
    wal = state / f"{STORE_FILE}-wal"
    before = _reading(status, disk, wal)
    held = [kernel.process(status["pid"])]
    until_s = before.at_s + seconds
    while (left_s := until_s - clock.mono_s()) > 0:
        await asyncio.sleep(min(LOOK_S, left_s))
        try:
            held.append(kernel.process(status["pid"]))
        except OSError as error:
            raise FootprintError(
                "cannot measure: the agent ended meanwhile; linewatch-agent doctor says why"
            ) from error
    after = _reading(ask(state), disk, wal)
    name = disk.name or disk.why
    return Measured(before, after, held, status["start_cpu_s"], name)


def _reading(status: dict[str, Any], disk: kernel.Disk, wal: Path) -> Reading:
    of_agent = kernel.process(status["pid"])
    return Reading(
        at_s=clock.mono_s(),
        cpu_s=of_agent.cpu_s,
        peak_bytes=of_agent.peak_bytes,
        disk_bytes=kernel.written_bytes(disk),
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
        lines={
            line["id"]: LineBytes(
                own=line["bytes_out"] + line["bytes_in"],
                device=kernel.carried_bytes(line["device"]),
                month=line["month_bytes"],
                left_s=line["month_left_s"],
            )
            for line in status["lines"]
        },
        samples=status["store"]["measured"],
    )


@contextmanager
def started(state: Path, config: Path | None) -> Iterator[None]:
    """Run an agent of this release on a state folder meanwhile; its log is thrown away.

    Raises:
        FootprintError: it ends, or does not begin to measure in time.
    """
    command = [sys.executable, "-m", "linewatch_agent", "run", "--state", str(state)]
    if config is not None:
        command += ["--config", str(config)]
    # A release finds its libraries by a path that its start file has set.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            asyncio.run(_until_running(process, state, log))
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _until_running(process: "subprocess.Popen[bytes]", state: Path, log: IO[str]) -> None:
    until_s = clock.mono_s() + START_S
    while clock.mono_s() < until_s:
        if process.poll() is not None:
            log.seek(0)
            said = (log.read().strip().splitlines() or ["it said nothing"])[-1]
            raise FootprintError(f"cannot measure: the agent ended: {said}")
        try:
            if ask(state)["pid"] == process.pid:
                return
        except NotRunningError:
            pass
        await asyncio.sleep(0.1)
    raise FootprintError(f"cannot measure: the agent did not start within {START_S:.0f} s")
