"""From a bare Debian and a file on its boot partition to a probe whose records are at a server.

What a volunteer does is done here: the image is made (`apply.sh`, the package), a card is
seeded with one token, power comes on, and nobody types. The line is a cable into a home
with DHCP; behind it run the real server and Mosquitto.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from linewatch_core.ids import parse_probe_id
from linewatch_server.audit import audit
from tests.appliance.layers import Layer, layer
from tests.appliance.machine import Machine, booted
from tests.appliance.package import package
from tests.appliance.root import ROOT
from tests.appliance.router import router
from tests.support.world import HOME4, ISP4, World, behind_a_cable

APPLY = ROOT / "firmware-config" / "apply.sh"
SEED = ROOT / "firmware-config" / "seed-card"
NET = ISP4.rpartition(".")[0]
CARD = f"""
[schedule]
period_s = 1.0
jitter_s = 0.1
timeout_s = 0.8
[targets]
sets = []
[[target]]
id = "site"
role = "domestic"
host = "{HOME4}"
port = 8883
checks = ["icmp", "tcp"]
[budget]
month_mb = 1_000_000
[store]
commit_s = 5.0
live_close_s = 1.0
[uplink]
retry_max_s = 2.0
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    """A home without DHCP yet: the server and its broker run behind the cable."""
    with behind_a_cable(tmp_path) as here:
        yield here


def image(made: Layer) -> None:
    """Make a Raspberry Pi's image of a bare system: its first partition, apply.sh, the package."""
    made.put("/boot/firmware/config.txt", "arm_64bit=1\n")
    made.put("/boot/firmware/cmdline.txt", "console=tty1 root=PARTUUID=0 rootwait\n")
    made.put("/etc/rpi-issue", "Raspberry Pi reference\n")
    run(APPLY, "--root", made.path, "--deb", package())


def seed(made: Layer, server: Path, folder: Path) -> None:
    """Make a token and write it on the card, as an operator does."""
    config = folder / "card.toml"
    config.write_text(CARD)
    enrol = f"{sys.executable} -m linewatch_server enrol {server}"
    tokens = folder / "tokens"
    run(SEED, "tokens", "--enrol", enrol, "--count", "1", "--into", tokens)
    boot = made.path / "boot/firmware"
    run(SEED, "write", "--tokens", tokens, "--boot", boot, "--config", config)


def run(*command: str | Path) -> str:
    """Run a command of ours outside; it must succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(machine: Machine) -> dict[str, Any] | None:
    """Return the agent's status, or None while it does not answer."""
    said = machine.run("linewatch-agent", "status", "--json", check=False)
    found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
    return found if found.get("running") else None


def synced(machine: Machine) -> bool:
    """Return whether the server has acknowledged samples of this probe."""
    said = status(machine)
    return said is not None and said["uplink"]["connected"] and said["store"]["acked"]["raw"] > 0


def test_a_flashed_card_becomes_a_probe_without_a_keystroke(home: World, tmp_path: Path) -> None:
    """Measuring, enrolled, syncing; the token is gone from the card; a second boot goes on."""
    with layer() as card:
        image(card)
        assert "nothing to change" in run(APPLY, "--root", card.path, "--deb", package())
        seed(card, home.server, tmp_path)
        for boot in range(2):
            with booted(card) as machine:
                machine.plug("eth0", home.home.name, "home0")
                with router(home.home, "home0", NET, names_lead_to=HOME4):
                    machine.wait_until(partial(synced, machine), f"boot {boot}: syncing")
                    said = machine.run("linewatch-agent", "status")
                    machine.run("linewatch-agent", "doctor")  # fails if anything is wrong
                    failed = machine.run("systemctl", "--failed", "--plain", "--no-legend")
            assert failed == ""
            assert "fixed-1      fixed, " in said
            assert "connected over fixed-1" in said
            boot_files = {path.name for path in (card.path / "boot/firmware").iterdir()}
            assert not boot_files & {"linewatch-token.toml", "linewatch-problem.txt"}
        identity = card.path / "var/lib/linewatch/identity/identity.json"
        probe = parse_probe_id(json.loads(identity.read_bytes())["probe"])
        found = audit(home.server, probe)
        assert found.stored > 20
        assert (found.missing, found.duplicates, found.unverified) == (0, 0, 0)
