"""The whole way of a release: signed, published, fetched by a probe over its line, proved.

A booted probe from the package, the real server and Mosquitto behind its cable, a web server
beside them. Nobody types: the agent finds the release, root puts it in place, an ack proves it.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.trial import read_trial
from tests.appliance.layers import layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.package import EPOCH, HERE, build, make_release
from tests.support.world import HOME4, ISP4, World, behind_a_cable
from tools.deb.__main__ import PROJECT
from tools.deb.archive import write_archive

FIRST, SECOND = "0.1.0", "0.1.1"
WEB_PORT = 8099
DOMESTIC = [f"10.77.1.{number}" for number in range(1, 6)]
ABROAD = [f"10.77.2.{number}" for number in range(1, 7)]
"""So many that a line can be judged."""
CONFIG = """
[schedule]
period_s = 1.0
jitter_s = 0.1
timeout_s = 0.8
[targets]
sets = []
[budget]
month_mb = 1_000_000
[store]
commit_s = 1.0
live_close_s = 1.0
[uplink]
retry_max_s = 2.0
[update]
url = "http://{host}:{port}/releases/manifest"
key = "{key}"
check_s = 600
"""
TARGET = """
[[target]]
id = "{role}-{host}"
role = "{role}"
host = "{host}"
port = 8883
checks = ["tcp", "icmp"]
"""


def config(key: str) -> str:
    """Return the probe's configuration."""
    roles = [("domestic", DOMESTIC), ("international", ABROAD)]
    targets = [TARGET.format(role=role, host=host) for role, hosts in roles for host in hosts]
    return CONFIG.format(host=HOME4, port=WEB_PORT, key=key) + "".join(targets)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    """The server and its broker behind the cable."""
    with behind_a_cable(tmp_path, *DOMESTIC, *ABROAD) as here:
        yield here


def hasty_checkout(folder: Path) -> Path:
    """Return a copy of the checkout whose agent looks for releases soon after its start."""
    for name in ("core", "agent", "systemd"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    for name in ("LICENSE", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, folder)
    updater = folder / "agent/linewatch_agent/releases/updater.py"
    text = updater.read_text()
    for name in ("FIRST_LOOK_S", "RETRY_S"):
        assert f"\n{name} = 900.0\n" in text
        text = text.replace(f"\n{name} = 900.0\n", f"\n{name} = 3.0\n")
    updater.write_text(text)
    return folder


def publish(folder: Path) -> str:
    """Make a release, sign it with the operator's own commands, and return the public key."""
    folder.mkdir()
    release = make_release(folder / "release", version=SECOND)
    archive = folder / f"linewatch-agent-{SECOND}-{HERE[0].tag}.tar.xz"
    write_archive(release, HERE[0], archive, epoch=EPOCH, preset=0)
    server = (sys.executable, "-m", "linewatch_server", "release")
    key = folder / "key"
    said = subprocess.run([*server, "key", key], check=True, capture_output=True, text=True).stdout
    manifest = folder / "manifest"
    sign = [*server, "sign", "--key", str(key), "--into", str(manifest), str(archive)]
    subprocess.run(sign, check=True, capture_output=True)
    archive.rename(folder / "archive")
    return said.rpartition('key = "')[2].strip().rstrip('"')


@pytest.mark.slow
def test_a_release_reaches_a_probe_and_proves_itself(home: World, tmp_path: Path) -> None:
    """Fetched over the line, checked by root, run, acknowledged, kept; the old one stays by."""
    key = publish(tmp_path / "published")
    (tmp_path / "build").mkdir()
    deb = tmp_path / "build/agent.deb"
    build(deb, version=FIRST, project=hasty_checkout(tmp_path / "checkout"))
    home.start(
        "web",
        *(sys.executable, "-m", "tests.support.release_server"),
        *("serve", str(tmp_path / "published"), str(WEB_PORT)),
    )
    token = home.command(sys.executable, "-m", "linewatch_server", "enrol", home.server).stdout
    with layer() as card:
        card.copy(deb, "/srv/agent.deb")
        card.put("/srv/token.toml", token)
        in_layer(card, "dpkg", "--install", "/srv/agent.deb")
        enrol = ("linewatch-agent", "enrol", "/srv/token.toml")
        in_layer(card, "runuser", "-u", "linewatch", "--", *enrol)
        card.put("/etc/linewatch/linewatch.toml", config(key))
        card.put("/etc/linewatch/release.pub", f"{key}\n")
        # Addresses are given by hand here; nobody else is to take them away.
        in_layer(card, "systemctl", "mask", "NetworkManager.service")
        card.put("/etc/resolv.conf", f"nameserver {ISP4}\n")
        with booted(card) as machine:
            wire_up(machine, home)
            shelf = Shelf(Places(card.path))
            machine.wait_until(lambda: shelf.current() == SECOND, "no release came", timeout_s=240)
            machine.wait_until(
                lambda: (
                    (card.path / "var/lib/linewatch/update/proved").exists()
                    and read_trial(shelf.places) is None
                ),
                "the release does not prove itself",
                timeout_s=120,
            )
            assert shelf.versions() == [FIRST, SECOND]
            said = machine.run("linewatch-agent", "--version").strip()
            failed = machine.run("systemctl", "--failed", "--plain", "--no-legend")
            log = machine.journal("linewatch-release.service")
        assert said == SECOND
        assert failed == ""
        assert f"{SECOND} has proved itself" in log
    home.stop_all()


def wire_up(machine: Machine, home: World) -> None:
    """Plug the probe's cable into the home, with addresses by hand."""
    machine.plug("eth0", home.home.name, "home0")
    home.home.run("ip", "address", "add", f"{ISP4}/24", "dev", "home0")
    machine.run("ip", "address", "add", f"{ISP4.rpartition('.')[0]}.9/24", "dev", "eth0")
    machine.run("ip", "link", "set", "eth0", "up")
    machine.run("ip", "route", "add", "default", "via", ISP4)
