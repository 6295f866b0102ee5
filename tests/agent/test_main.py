"""The command `run` as a process: what keeps it from starting, and the signals that end it.

Each runs in a namespace that leads nowhere, so that no check leaves this machine.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from linewatch_agent.status import NotRunningError, ask
from linewatch_agent.store.opening import LOCK_FILE
from linewatch_agent.store.peek import peek
from linewatch_core.records import Stream
from tests.support.enrolled import enrolled_state, until
from tests.support.netns import Netns, namespaces, wire
from tests.support.world import AGENT

CONFIG = """
[schedule]
period_s = 1.0
jitter_s = 0.0
timeout_s = 0.5
[budget]
month_mb = 1_000_000
[targets]
sets = []
local = false
[[target]]
id = "peer"
role = "domestic"
host = "10.99.2.1"
port = 9
checks = ["tcp"]
[[line]]
id = "fixed-1"
device = "eth0"
"""


@pytest.fixture(scope="module")
def nowhere() -> Iterator[Netns]:
    """A network of its own, with a line to a neighbour that says nothing."""
    with namespaces("nowhere", "peer") as (netns, peer):
        wire((netns, "eth0", ("10.99.2.2/24",)), (peer, "peer0", ("10.99.2.1/24",)))
        netns.run("ip", "route", "add", "default", "via", "10.99.2.1")
        yield netns


@dataclass
class Machine:
    """A probe's state folder, and its command in a network that leads nowhere."""

    netns: Netns
    state: Path
    config: Path

    def start(self) -> "subprocess.Popen[str]":
        """Start `run`."""
        command = (*AGENT, "run", "--config", str(self.config), "--state", str(self.state))
        return subprocess.Popen(
            self.netns.inside(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def fails(self) -> str:
        """Run; it must fail with exit code 1 and one line, which is returned."""
        process = self.start()
        out, err = process.communicate(timeout=120)
        lines = [line for line in err.splitlines() if not line.startswith("level=")]
        assert (process.returncode, out, len(lines)) == (1, "", 1), err
        return lines[0]


@pytest.fixture
def machine(tmp_path: Path, nowhere: Netns) -> Machine:
    """A machine that is a probe already; its server can't be reached."""
    state = enrolled_state(tmp_path)
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG)
    return Machine(nowhere, state, config)


def answers(state: Path) -> bool:
    """Return whether an agent runs there."""
    try:
        return bool(ask(state)["running"])
    except NotRunningError:
        return False


def damage_ack_key(state: Path) -> None:
    """Make the key that acks are checked with one byte short."""
    path = state / "identity" / "identity.json"
    kept = json.loads(path.read_text())
    kept["ack_key"] = kept["ack_key"][4:]
    path.write_text(json.dumps(kept))


def damage_recipients(state: Path) -> None:
    """Make whom records are sealed to no key."""
    path = state / "identity" / "identity.json"
    kept = json.loads(path.read_text())
    kept["recipients"] = ["QUJD"]
    path.write_text(json.dumps(kept))


def replace_by_folder(name: str) -> Callable[[Path], None]:
    """Return what puts a folder in a file's place: no user can read that as a file."""

    def replace(state: Path) -> None:
        (state / name).unlink(missing_ok=True)
        (state / name).mkdir()

    return replace


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda state: (state / "signing.keys").write_bytes(b"damaged"), "enrol this probe again"),
        (lambda state: (state / "signing.keys").write_bytes(b""), "enrol this probe again"),
        (replace_by_folder("signing.keys"), "cannot use"),
        (replace_by_folder("identity/identity.json"), "cannot read"),
        (
            lambda state: (state / "identity/identity.json").write_text("{"),
            "enrol with a new token",
        ),
        (lambda state: (state / "identity/signing.seed").unlink(), "first signing key"),
        (damage_ack_key, "enrol with a new token"),
        (damage_recipients, "enrol with a new token"),
        (replace_by_folder("store.sqlite"), "cannot use"),
        (replace_by_folder(LOCK_FILE), "cannot use"),
    ],
    ids=[
        "signing keys damaged",
        "signing keys empty",
        "signing keys unreadable",
        "identity unreadable",
        "identity damaged",
        "first key gone",
        "ack key damaged",
        "recipients damaged",
        "store unreadable",
        "lock unreadable",
    ],
)
def test_a_state_that_cannot_be_used_is_one_line(
    machine: Machine, damage: Callable[[Path], None], says: str
) -> None:
    """What is wrong, where, and what to do; exit code 1."""
    damage(machine.state)
    assert says in machine.fails()


def test_a_second_agent_on_one_store_is_refused(machine: Machine) -> None:
    """It names the folder and says to stop the other one first."""
    lock = os.open(machine.state / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    line = machine.fails()
    os.close(lock)
    assert str(machine.state) in line
    assert "another agent is running" in line


def test_it_measures_and_stops_on_a_signal_with_all_records_kept(machine: Machine) -> None:
    """Before its certificate is here; a second SIGTERM while it stops changes nothing."""
    process = machine.start()
    until(lambda: answers(machine.state), process)
    until(lambda: ask(machine.state)["samples"], process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "agent_stopping" in err
    kept = peek(machine.state)
    assert kept.committed[Stream.RAW] >= 1
    assert kept.committed[Stream.ROLL] >= 1
    assert kept.backlog == sum(kept.committed.values())


@pytest.mark.parametrize("delay_s", [0.02, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_a_signal_at_any_moment_of_the_start_ends_it(machine: Machine, delay_s: float) -> None:
    """It ends at once, cleanly or by the signal, and the next start works."""
    process = machine.start()
    time.sleep(delay_s)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGTERM), err
    assert "Traceback" not in err
    again = machine.start()
    until(lambda: answers(machine.state), again)
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "Traceback" not in err


def test_no_log_line_names_device_or_address(machine: Machine) -> None:
    """A device called after its MAC address comes, is measured, and goes."""
    name = "enx0a1b2c3d4e5f"
    machine.config.write_text(CONFIG.replace('device = "eth0"', f'device = "{name}"'))
    with namespaces("probe", "isp") as (probe, isp):
        wire((probe, name, ("10.99.1.2/24",)), (isp, "isp0", ("10.99.1.1/24",)))
        probe.run("ip", "route", "add", "default", "via", "10.99.1.1")
        machine.netns = probe
        process = machine.start()
        until(lambda: answers(machine.state) and ask(machine.state)["samples"], process)
        probe.run("ip", "link", "del", name)
        until(lambda: ask(machine.state)["samples"][0]["failure"] == "no_device", process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "line_changed" in err
    for secret in (name, "0a1b2c3d4e5f", "10.99.1"):
        assert secret not in err
