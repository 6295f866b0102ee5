"""The doctor, the self-test and the status on an installed probe, booted: what people see there."""

import json
from pathlib import Path
from typing import Any

from tests.appliance.layers import Layer
from tests.appliance.machine import Machine, booted
from tests.support.netns import namespaces

AGENT = "linewatch-agent.service"
CONFIG = """
[schedule]
period_s = 2
timeout_s = 1
jitter_s = 0
[targets]
sets = []
[[target]]
id = "host"
role = "domestic"
host = "192.0.2.1"
checks = ["icmp"]
[budget]
month_mb = 1_000_000
[uplink]
enabled = false
[[line]]
id = "home"
device = "eth0"
resolvers = ["192.0.2.1"]
"""


def doctor(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what the doctor says as root, by topic; of several of one topic the last."""
    said = machine.run("linewatch-agent", "doctor", "--json", check=False)
    return {one["topic"]: one for one in json.loads(said)["findings"]}


def levels(found: dict[str, dict[str, Any]], *topics: str) -> list[str]:
    """Return how bad some topics are."""
    return [found[topic]["level"] for topic in topics]


def test_a_probe_that_measures_is_well_and_one_that_is_stopped_is_not(probe: Layer) -> None:
    """Everything that a machine without a modem, a light and a watchdog can be asked."""
    probe.put("/etc/linewatch/linewatch.toml", CONFIG)
    with booted(probe) as machine, namespaces("isp") as (isp,):
        machine.plug("eth0", isp.name, "isp0")
        isp.run("ip", "address", "add", "192.0.2.1/24", "dev", "isp0")
        isp.run("ip", "link", "set", "isp0", "up")
        machine.run("ip", "address", "replace", "192.0.2.2/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "route", "replace", "default", "via", "192.0.2.1", "dev", "eth0")
        machine.wait_until(lambda: _measures(machine), "nothing was measured")
        found = doctor(machine)
        well = ("identity", "keys", "service", "agent", "server", "store", "memory", "line")
        assert levels(found, *well) == ["ok"] * len(well), found
        assert "doctor" not in found
        assert found["configuration"]["text"].startswith("/etc/linewatch/linewatch.toml")
        assert "home         fixed, " in machine.run("linewatch-agent", "status")
        machine.unplug("eth0")
        assert "no such device" in doctor(machine)["line"]["text"]
        machine.run("systemctl", "stop", AGENT)
        stopped = doctor(machine)
        assert levels(stopped, "service", "agent", "store") == ["problem", "problem", "ok"]
        assert stopped["service"]["remedy"] == f"sudo systemctl start {AGENT}"
        told = machine.run("linewatch-agent", "status", check=False)
        assert told.startswith("Nothing is being measured.\n")


def test_the_user_of_the_agent_may_ask_and_another_is_told_to_use_sudo(probe: Layer) -> None:
    """Nobody else may look into the state folder."""
    with booted(probe) as machine:
        as_user = ("runuser", "-u", "linewatch", "--", "linewatch-agent")
        assert json.loads(machine.run(*as_user, "self-test", "--json"))["wrong"] is False
        as_nobody = ("runuser", "-u", "nobody", "--", "linewatch-agent")
        said = json.loads(machine.run(*as_nobody, "doctor", "--json", check=False))
        remedies = {one["remedy"] for one in said["findings"] if one["topic"] == "doctor"}
        assert "sudo linewatch-agent doctor" in remedies


def test_the_footprint_is_measured_of_an_agent_that_is_started_for_it(probe: Layer) -> None:
    """From the release's folder, by the agent's user; the service's own goes on afterwards."""
    probe.put("/etc/linewatch/linewatch.toml", CONFIG)
    with booted(probe) as machine:
        machine.run("systemctl", "stop", AGENT)
        program = "runuser -u linewatch -- linewatch-agent measure-footprint --start --minutes 0.02"
        told = machine.run(*program.split(), "--config", "/etc/linewatch/linewatch.toml", "--json")
        figures = {one["name"]: one for one in json.loads(told)["figures"]}
        assert 10 < figures["resident, mean"]["value"] < figures["resident, peak"]["bar"]
        assert figures["CPU to start"]["value"] < figures["CPU to start"]["bar"]
        machine.run("systemctl", "start", AGENT)


def _measures(machine: Machine) -> bool:
    told = machine.run("linewatch-agent", "status", "--json", check=False)
    return told.startswith("{") and any(one["answered"] for one in json.loads(told)["lines"])


def test_a_state_that_the_doctor_looked_at_is_as_it_was(probe: Layer) -> None:
    """Not one byte of the store changes, and no file is added."""
    state = Path("var/lib/linewatch")
    with booted(probe) as machine:
        machine.run("systemctl", "stop", AGENT)
        folder = probe.path / state
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        doctor(machine)
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert after == before
