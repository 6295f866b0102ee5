"""linewatch-agent.service with the real agent, booted: ready, watched, bounded, private."""

import contextlib
import json
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.appliance.layers import Layer
from tests.appliance.machine import Machine, booted
from tests.appliance.stuck import all_but_the_first, stopped
from tests.support.netns import namespaces

AGENT = "linewatch-agent.service"
DROP_IN = f"/etc/systemd/system/{AGENT}.d/test.conf"
HASTY = "[Service]\nWatchdogSec=8s\nRestartSec=200ms\nRestartSteps=0\n"
STATE = Path("var/lib/linewatch")
LINE = """
[schedule]
period_s = 2
timeout_s = 1
jitter_s = 0
[store]
commit_s = 1
[targets]
sets = []
[[target]]
id = "host"
role = "domestic"
host = "192.0.2.1"
checks = ["icmp"]
[uplink]
enabled = false
"""


@contextmanager
def running(probe: Layer, drop_in: str = HASTY) -> Iterator[Machine]:
    """Boot a probe with a drop-in and give it once its agent is ready."""
    probe.put(DROP_IN, drop_in)
    with booted(probe) as machine:
        await_ready(machine)
        yield machine


def await_ready(machine: Machine, *, after: int = 0) -> None:
    """Wait until the agent is ready, as another process than `after`."""

    def ready() -> bool:
        # Both at once: between two questions the one may end, and the next not be ready.
        shown = machine.show(AGENT, "ActiveState", "MainPID")
        return shown["ActiveState"] == "active" and int(shown["MainPID"]) != after

    machine.wait_until(ready, "the agent is not ready")


def inner_pid(machine: Machine) -> int:
    """Return the agent's process id, as the machine counts."""
    return int(machine.show(AGENT, "MainPID")["MainPID"])


def outer_pid(machine: Machine) -> int:
    """Return the agent's process id, as this process counts."""
    inside = str(inner_pid(machine))
    # Only of the agent's own group: other processes and groups may end meanwhile.
    folders = [Path(folder) for folder, *_ in os.walk(machine.layer.cgroup)]
    procs = [folder / "cgroup.procs" for folder in folders if folder.name == AGENT]
    for pid in {line for file in procs for line in file.read_text().split()}:
        status = Path(f"/proc/{pid}/status").read_text()
        spaces = next(line for line in status.splitlines() if line.startswith("NSpid:"))
        if spaces.split()[-1] == inside:
            return int(pid)
    raise AssertionError(f"the machine's process {inside} is not to be seen from outside")


def last_words(machine: Machine) -> dict[str, Any]:
    """Return what the postmortem kept, once it has kept something."""
    file = machine.layer.path / STATE / "postmortem/last.json"
    machine.wait_until(file.exists, "no last words were kept")
    kept: dict[str, Any] = json.loads(file.read_bytes())
    return kept


def test_it_is_ready_without_any_line_and_says_how_it_is(probe: Layer) -> None:
    """No device, no clock, no internet: it is active by its own word, and says so in words."""
    with running(probe, "") as machine:
        machine.wait_until(
            lambda: "MB of memory" in machine.show(AGENT, "StatusText")["StatusText"],
            "the agent says nothing of itself",
        )
        shown = machine.show(AGENT, "StatusText", "NRestarts", "Type", "WatchdogUSec")
        assert shown["StatusText"].startswith("lines measured: 0; ")
        assert (shown["NRestarts"], shown["Type"], shown["WatchdogUSec"]) == (
            "0",
            "notify",
            "1min 30s",
        )
        assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_it_pings_over_its_line_without_privilege(probe: Layer) -> None:
    """A cable is plugged in: ICMP leaves on that device, by a process with no capability.

    And an agent that works feeds even a hasty watchdog, so that it stays the same process.
    """
    probe.put("/etc/linewatch/linewatch.toml", LINE)
    probe.put("/etc/resolv.conf", "nameserver 192.0.2.1\n")
    with running(probe) as machine, namespaces("isp") as (isp,):
        machine.plug("eth0", isp.name, "home")
        isp.run("ip", "address", "add", "192.0.2.1/24", "dev", "home")
        machine.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
        machine.run("ip", "route", "add", "default", "via", "192.0.2.1")
        machine.run("systemctl", "restart", AGENT)

        def answered() -> bool:
            samples = status(machine)["samples"]
            return any(s["target"] == "host" and s["failure"] is None for s in samples)

        machine.wait_until(answered, "no ping was answered")
        [line] = status(machine)["lines"]
        assert line["problems"] == []
        before, fed_us = inner_pid(machine), watchdog_us(machine)
        machine.wait_until(lambda: watchdog_us(machine) > fed_us + 10_000_000, "it is not fed")
        assert inner_pid(machine) == before
        proc = Path(f"/proc/{outer_pid(machine)}/status").read_text()
        capabilities = [row.split()[1] for row in proc.splitlines() if row.startswith("Cap")]
        assert set(capabilities) == {"0" * 16}
        assert "NoNewPrivs:\t1" in proc


def status(machine: Machine) -> dict[str, Any]:
    """Return the agent's status, once an agent tells it: one may just have been started anew."""
    told: list[dict[str, Any]] = []

    def tells() -> bool:
        said = machine.run("linewatch-agent", "status", "--json", check=False)
        told.extend([json.loads(said)] if said else [])
        return bool(told)

    machine.wait_until(tells, "no agent tells its status")
    return told[0]


def said_status(machine: Machine) -> str:
    """Return the agent's status as it is printed, without spaces; empty if there is none."""
    said = machine.run("linewatch-agent", "status", "--json", check=False)
    return "".join(said.split())


def test_a_hang_is_ended_by_the_watchdog_and_told(probe: Layer) -> None:
    """SIGSTOP to the whole agent: systemd starts another, which tells how the last one ended."""
    with running(probe) as machine:
        before = inner_pid(machine)
        os.kill(outer_pid(machine), signal.SIGSTOP)
        await_ready(machine, after=before)
        words = last_words(machine)
        assert words["result"] == "watchdog"
        assert words["count"] >= 1
        # So hasty a watchdog may end the next one, too, where the machine is slow.
        machine.wait_until(
            lambda: '"result":"watchdog"' in said_status(machine), "the next one does not tell"
        )
        assert "an_agent_ended_badly_before" in machine.journal(AGENT)


def test_a_stuck_writer_is_ended_by_the_watchdog(probe: Layer) -> None:
    """Only the store's thread hangs: rounds go on, yet the watchdog is fed no longer."""
    with running(probe) as machine:
        before, outer = inner_pid(machine), outer_pid(machine)
        threads = all_but_the_first(outer)
        assert threads
        with stopped(threads):
            machine.wait_until(
                lambda: "Watchdog timeout" in machine.journal(AGENT), "the watchdog is still fed"
            )
            assert "the store's thread does not answer" in machine.journal(AGENT)
        await_ready(machine, after=before)
        words = last_words(machine)
        assert (words["result"], words["status"]) == ("watchdog", "ABRT")
        # faulthandler's: where each thread was.
        assert any("Fatal Python error: Aborted" in line for line in words["lines"])
        assert any("in run_forever" in line for line in words["lines"])


def watchdog_us(machine: Machine) -> int:
    """Return when the watchdog was fed last, by the machine's monotonic clock."""
    name = "WatchdogTimestampMonotonic"
    return int(machine.show(AGENT, name)[name])


def test_a_crash_loop_goes_on_and_reboots_nothing(probe: Layer) -> None:
    """An agent that ends at once is started again and again; the machine stays up, offline."""
    broken = "ExecStart=\nExecStart=/bin/false\nRestartSec=50ms\nRestartSteps=0\n"
    probe.put(DROP_IN, f"[Service]\n{broken}")
    with booted(probe) as machine:
        # More often than systemd's own limit (5 in 10 s) would ever allow.
        machine.wait_until(
            lambda: int(machine.show(AGENT, "NRestarts")["NRestarts"]) >= 8, "it gave up"
        )
        shown = machine.show(AGENT, "StartLimitAction", "FailureAction", "SuccessAction")
        assert set(shown.values()) == {"none"}
        assert machine.run("systemctl", "list-jobs", "--no-legend").count("reboot") == 0
        assert machine.run("cat", "/proc/1/comm").strip() == "systemd"
        assert "Startup finished" in machine.run("systemd-analyze")
        assert last_words(machine)["code"] == "exited"
        probe.put(DROP_IN, "[Service]\nRestartSec=50ms\nRestartSteps=0\n")
        machine.run("systemctl", "daemon-reload")
        await_ready(machine)


def test_nobody_else_reads_its_state(probe: Layer) -> None:
    """Every file of the state is the agent's alone; another user can't even list the folder."""
    with running(probe) as machine:
        state = machine.layer.path / STATE
        owner = state.stat().st_uid
        assert owner != 0
        for path in [state, *state.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):  # the agent writes here meanwhile
                info = path.lstat()
                assert info.st_uid == owner, path
                assert stat.S_IMODE(info.st_mode) & 0o077 == 0, path
        assert (state / "identity/identity.json").exists()
        for command in ("ls /var/lib/linewatch", "cat /var/lib/linewatch/identity/tls.key"):
            asked = f"runuser -u nobody -- {command} 2>&1; true"
            assert "Permission denied" in machine.run("sh", "-c", asked)
