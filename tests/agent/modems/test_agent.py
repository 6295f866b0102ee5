"""The agent as a process, with modems on its bus: from a round to what people read.

It runs in a namespace that leads nowhere, so that no check leaves this machine.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linewatch_agent.status import NotRunningError, ask
from linewatch_core.modem_words import Bearer
from tests.lab.modems import Modems
from tests.support.enrolled import enrolled_state, until
from tests.support.netns import Netns, namespaces
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
host = "192.0.2.1"
port = 9
checks = ["tcp"]
[uplink]
enabled = false
[[line]]
id = "mobile-1"
device = "wwan0"
[[line]]
id = "mobile-2"
device = "wwan1"
operator = "south"
"""


class Probe:
    """An enrolled machine in a namespace; its commands see the modems' bus."""

    def __init__(self, folder: Path, netns: Netns, modems: Modems) -> None:
        self.state, self.config = enrolled_state(folder), folder / "agent.toml"
        self.config.write_text(CONFIG)
        self._netns = netns
        self._env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": modems.address}

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start one of the agent's commands."""
        options = ("--config", str(self.config), "--state", str(self.state))
        return subprocess.Popen(
            self._netns.inside(*AGENT, *command, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._env,
        )

    def lines(self) -> dict[str, dict[str, Any]]:
        """Return the lines of a running agent's status; none while it starts."""
        try:
            return {line["id"]: line for line in ask(self.state)["lines"]}
        except NotRunningError:
            return {}

    def measured(self) -> int:
        """Return how many samples there are."""
        measured: int = ask(self.state)["store"]["measured"]
        return measured


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[tuple[Probe, Modems]]:
    """A probe whose two modems are well, and whose devices carry nothing."""
    bus = tmp_path / "bus"
    bus.mkdir()
    devices = {"mobile-1": "wwan0", "mobile-2": "wwan1"}
    with Modems.of_devices(bus, devices) as modems, namespaces("mobile") as (netns,):
        yield Probe(tmp_path, netns, modems), modems


def test_a_running_agent_measures_its_modems(probe: tuple[Probe, Modems]) -> None:
    """Samples in its store, and operator, fields and words in its status, as they change."""
    agent, modems = probe
    process = agent.start("run")
    try:
        well = "registered at home, LTE, -95 dBm, data session up"
        until(lambda: _said(agent, "mobile-1") == _said(agent, "mobile-2") == well, process)
        # No line here can run a check: every sample is a modem's.
        assert agent.measured() >= 2
        lines = agent.lines()
        assert [lines[each]["operator"] for each in ("mobile-1", "mobile-2")] == ["00101", "south"]
        modems.set("mobile-1", bearer=Bearer.REFUSED)
        until(lambda: "data session refused" in _said(agent, "mobile-1"), process)
        until(lambda: _modem(agent, "mobile-1").get("bearer") == "refused", process)
        modems.set("mobile-2", present=False)
        until(lambda: _said(agent, "mobile-2") == "no modem", process)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
        assert process.returncode == 0, log
    finally:
        process.kill()
        process.communicate()


def test_lines_names_operator_and_modem(probe: tuple[Probe, Modems]) -> None:
    """As text and as JSON; no line is usable here, so the exit code says so."""
    agent, modems = probe
    modems.set("mobile-2", sim="missing")
    text, _ = (first := agent.start("lines")).communicate(timeout=120)
    assert first.returncode == 1
    assert "mobile-1  mobile  wwan0   00101" in text
    assert "mobile-2  mobile  wwan1   south" in text
    assert "mobile-1, modem: registered at home, LTE, -95 dBm, data session up\n" in text
    assert "mobile-2, modem: SIM missing\n" in text
    told, _ = agent.start("lines", "--json").communicate(timeout=120)
    one, two = json.loads(told)["lines"]
    assert (one["operator"], one["modem"]["registration"]) == ("00101", "home")
    assert (two["operator"], two["modem"]["sim"]) == ("south", "missing")


def _modem(agent: Probe, line: str) -> dict[str, Any]:
    """Return what the status has of a line's modem; where the machine is busy, nothing at times."""
    return agent.lines().get(line, {}).get("modem") or {}


def _said(agent: Probe, line: str) -> str:
    return str(_modem(agent, line).get("words", ""))
