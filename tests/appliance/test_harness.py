"""The harness itself: what is written goes away, and a killed run leaves nothing that lives."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.appliance.layers import layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.root import ROOT, base_root
from tests.support.netns import namespaces

_DIES = """
import os
from tests.appliance.layers import layer
from tests.appliance.machine import booted
with layer() as made, booted(made) as machine:
    print(made.folder, machine.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_layer_is_written_to_and_the_root_never() -> None:
    """What a test writes is seen in its layer and in one over it, and is gone with them."""
    with layer() as below:
        below.put("/etc/mark", "below")
        with layer(over=below) as made:
            made.put("/etc/other", "above")
            assert in_layer(made, "cat", "/etc/mark", "/etc/other") == "belowabove"
        assert not (below.path / "etc/other").exists()
    assert not below.folder.exists()
    assert not (base_root() / "etc/mark").exists()


def test_a_machine_boots_alone_and_is_wired_by_plug_only() -> None:
    """It reaches systemd's `running`, has no device but lo, then the one that is plugged in."""
    with layer() as made, booted(made) as machine, namespaces("isp") as (isp,):
        assert machine.run("systemctl", "is-system-running").strip() == "running"
        assert [line.split()[0] for line in _links(machine)] == ["lo"]
        machine.plug("eth0", isp.name, "home", mac="02:00:00:00:00:07")
        assert "02:00:00:00:00:07" in "\n".join(_links(machine))
        isp.run("ip", "address", "add", "192.0.2.1/24", "dev", "home")
        machine.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
        assert "1 received" in machine.run("ping", "-c1", "-W5", "192.0.2.1")
        machine.unplug("eth0")
        assert [line.split()[0] for line in _links(machine)] == ["lo"]


def test_what_a_killed_run_leaves_dies_and_is_swept() -> None:
    """A test's process is killed: its machine dies at once; the next layer removes its folder."""
    done = subprocess.run(
        [sys.executable, "-c", _DIES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder, pid = done.stdout.split()
    _, alive = psutil.wait_procs(_process(int(pid)), timeout=60)
    assert not alive
    assert Path(folder).is_dir()
    with layer():
        assert not Path(folder).exists()
    assert folder not in Path("/proc/mounts").read_text()


def test_a_command_that_fails_says_why() -> None:
    """The error has the command's own words."""
    with layer() as made, pytest.raises(RuntimeError, match="No such file or directory"):
        in_layer(made, "cat", "/nowhere")


def _links(machine: Machine) -> list[str]:
    return machine.run("ip", "-br", "link").splitlines()


def _process(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
