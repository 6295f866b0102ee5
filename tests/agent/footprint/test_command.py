"""The measurement of a real agent, in a namespace that leads nowhere."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.identity.enrol import prepare_from
from linewatch_server.fleet import enrolment
from tests.support.broker import init_server, utc_now
from tests.support.netns import Netns, namespaces, wire
from tests.support.world import AGENT

CONFIG = """
[schedule]
period_s = 1.0
jitter_s = 0.0
timeout_s = 0.5
[budget]
month_mb = 1_000_000
[uplink]
enabled = false
[targets]
sets = []
local = false
[[target]]
id = "peer"
role = "domestic"
host = "10.99.3.1"
port = 9
checks = ["tcp"]
[[line]]
id = "fixed-1"
device = "eth0"
"""


@pytest.fixture
def nowhere() -> Iterator[Netns]:
    """A network of its own, with a neighbour that refuses."""
    with namespaces("nowhere", "peer") as (netns, peer):
        wire((netns, "eth0", ("10.99.3.2/24",)), (peer, "peer0", ("10.99.3.1/24",)))
        netns.run("ip", "route", "add", "default", "via", "10.99.3.1")
        yield netns


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A probe's state folder, with a configuration beside it."""
    layout = init_server(tmp_path / "server")
    token = tmp_path / "token.toml"
    token.write_text(enrolment.enrol(layout.directory, label="x", now=utc_now()))
    prepare_from(token, tmp_path / "state")
    (tmp_path / "agent.toml").write_text(CONFIG)
    return tmp_path / "state"


def measure(netns: Netns, state: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command inside."""
    command = (*AGENT, "measure-footprint", "--state", str(state), "--minutes", "0.05", *more)
    return subprocess.run(netns.inside(*command), capture_output=True, text=True, check=False)


def test_an_agent_of_its_own_is_started_measured_and_ended(nowhere: Netns, state: Path) -> None:
    """Its memory and CPU are those of a Python process; its line carried bytes."""
    done = measure(
        nowhere, state, "--start", "--config", str(state.with_name("agent.toml")), "--json"
    )
    told = json.loads(done.stdout)
    figures = {one["name"]: one for one in told["figures"]}
    assert 3.0 <= told["seconds"] < 30
    assert 10 < figures["resident, mean"]["value"] <= figures["resident, peak"]["value"] < 200
    assert 0.05 < figures["CPU to start"]["value"] < 60
    assert figures["samples an hour"]["value"] > 1_000
    assert figures["data this month, fixed-1"]["value"] > 0
    # Nobody is left behind that would hold the store.
    again = measure(nowhere, state)
    assert (again.returncode, again.stdout) == (1, "")
    assert "no agent is running" in again.stderr


def test_an_agent_that_cannot_start_says_why(nowhere: Netns, tmp_path: Path) -> None:
    """In its own last words."""
    done = measure(nowhere, tmp_path, "--start")
    assert done.returncode == 1
    assert (
        "cannot measure: the agent ended: linewatch-agent: cannot find an identity" in done.stderr
    )
