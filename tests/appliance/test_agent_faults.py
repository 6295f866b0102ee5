"""An agent whose rounds hang or that leaks, booted: what is altered in it is said at each test."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.appliance.altered import alter
from tests.appliance.layers import Layer
from tests.appliance.machine import Machine
from tests.appliance.test_agent_unit import (
    AGENT,
    HASTY,
    LINE,
    await_ready,
    inner_pid,
    last_words,
    outer_pid,
    running,
    status,
)

WISH = "/var/lib/linewatch/begin"
"""The fault begins once this file is there, and does not come back in the next agent."""
HANG = f"""
import asyncio
from linewatch_agent import sampler
from linewatch_agent.plan import vitals
vitals.LATE_S_MAX = 1.0  # of 20 s
as_it_was = sampler._sleep_until
async def sleep_or_hang(mono_ms):
    await as_it_was(mono_ms)
    if Path("{WISH}").exists():
        Path("{WISH}").unlink()
        await asyncio.Event().wait()
sampler._sleep_until = sleep_or_hang
"""
LEAK = f"""
from linewatch_agent import heartbeat
kept = []
as_it_was = heartbeat.Heartbeat.look
async def look_and_leak(self):
    if Path("{WISH}").exists() or kept:
        Path("{WISH}").unlink(missing_ok=True)
        kept.append(b"x" * 8_000_000)
    await as_it_was(self)
heartbeat.Heartbeat.look = look_and_leak
"""
FAST_LEAK = f"""
import threading, time
def leak():
    while not Path("{WISH}").exists():
        time.sleep(0.1)
    Path("{WISH}").unlink()
    kept = []
    while True:
        kept.append(b"x" * 1_000_000)
threading.Thread(target=leak, daemon=True).start()
"""
MEMORY_V1 = Path("/sys/fs/cgroup/memory")
_numbers = itertools.count(1)


@contextmanager
def faulty(probe: Layer, changes: str) -> Iterator[Machine]:
    """Boot a probe with an altered agent that has measured for some rounds."""
    command = f"{alter(probe, changes)} run --config /etc/linewatch/linewatch.toml"
    probe.put("/etc/linewatch/linewatch.toml", LINE)
    with running(probe, f"{HASTY}ExecStart=\nExecStart={command}\n") as machine:
        machine.wait_until(lambda: status(machine)["round"]["rounds"] >= 2, "no rounds are made")
        yield machine


def begin(machine: Machine) -> int:
    """Let the fault begin; return the agent that has it."""
    faulty = inner_pid(machine)
    machine.run("runuser", "-u", "linewatch", "--", "touch", WISH)
    return faulty


def committed(machine: Machine) -> int:
    """Return how many events the store keeps."""
    count: int = status(machine)["store"]["committed"]["ev"]
    return count


def test_rounds_that_hang_are_ended_by_the_watchdog(probe: Layer) -> None:
    """Only the scheduler stands still: the event loop, the status and the store's thread go on."""
    with faulty(probe, HANG) as machine:
        before = begin(machine)
        machine.wait_until(
            lambda: "s late" in machine.show(AGENT, "StatusText")["StatusText"],
            "nothing is said of the hang",
        )
        assert status(machine)["store"]["problem"] is None
        await_ready(machine, after=before)
        said = machine.journal(AGENT)
        assert "the next round is" in said
        assert "the store's thread does not answer" not in said
        assert last_words(machine)["result"] == "watchdog"
        machine.wait_until(lambda: status(machine)["round"]["rounds"] >= 2, "no rounds are made")


def test_a_slow_leak_ends_in_order(probe: Layer) -> None:
    """At 96 MB, which needs no kernel's help, the agent keeps all, ends, and is started anew."""
    with faulty(probe, LEAK) as machine:
        assert machine.show(AGENT, "MemoryMax", "TasksMax") == {
            "MemoryMax": str(128 << 20),
            "TasksMax": "32",
        }
        kept = committed(machine)
        before = begin(machine)
        await_ready(machine, after=before)
        said = machine.journal(AGENT)
        assert "memory_bound_passed" in said
        assert "agent_stopping" in said
        assert "its bound of 96 MB" in said
        words = last_words(machine)
        assert (words["result"], words["status"]) == ("exit-code", "1")
        assert 96 <= words["memory_mb"] < 128
        assert committed(machine) > kept


@pytest.mark.slow
def test_a_fast_leak_is_ended_by_the_kernel(probe: Layer) -> None:
    """A kernel that enforces the unit's MemoryMax kills the agent alone; what it kept is kept."""
    with faulty(probe, FAST_LEAK) as machine, enforced(machine):
        kept = committed(machine)
        before = begin(machine)
        await_ready(machine, after=before)
        words = last_words(machine)
        assert (words["code"], words["status"]) == ("killed", "KILL")
        assert committed(machine) >= kept
        assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


@contextmanager
def enforced(machine: Machine) -> Iterator[None]:
    """Have the kernel hold the agent to its MemoryMax, also where systemd can't have it so.

    Here that is a group of the older hierarchy; systemd then knows of none.
    """
    controllers = (machine.layer.cgroup / "cgroup.controllers").read_text().split()
    if "memory" in controllers:
        yield
        return
    assert MEMORY_V1.is_dir(), (
        "this kernel has no memory controller: boot with cgroup_enable=memory"
    )
    group = MEMORY_V1 / f"{machine.layer.cgroup.name}-{next(_numbers)}"
    group.mkdir()
    try:
        bound = machine.show(AGENT, "MemoryMax")["MemoryMax"]
        (group / "memory.limit_in_bytes").write_text(bound)
        (group / "cgroup.procs").write_text(str(outer_pid(machine)))
        yield
    finally:
        machine.wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()
