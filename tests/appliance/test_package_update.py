"""A release over the air on a booted probe: root takes it, the agent proves it, or it goes back.

The real units, package, agent and releases; only the download is left out (tests/agent/releases
has it): the test puts the files where the agent would, as the agent's user.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.trial import TRIES_MAX
from linewatch_core.release.manifest import Archive, Manifest, sign_manifest
from tests.appliance.layers import Layer, layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.package import EPOCH, HERE, make_release, package
from tests.support.releases import KEY, PUBLIC
from tools.deb.archive import write_archive

AGENT = "linewatch-agent.service"
FIRST, SECOND = "0.1.0", "0.1.1"
INBOX = "/var/lib/linewatch/update"
QUIET = "[uplink]\nenabled = false\n[targets]\nsets = []\n"
"""Nothing is measured over a network, and nobody acknowledges."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the manifest and the archive of a newer release of this checkout."""
    folder = tmp_path_factory.mktemp("published")
    release = make_release(folder / "release", version=SECOND)
    archive = folder / "archive"
    write_archive(release, HERE[0], archive, epoch=EPOCH, preset=0)
    files = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    data = archive.read_bytes()
    said = Archive(
        url="archive",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        unpacked_bytes=files,
    )
    manifest = Manifest(
        version=SECOND, created=EPOCH + 1, python="3.11", archives={HERE[0].tag: said}
    )
    (folder / "manifest").write_bytes(sign_manifest(manifest, KEY))
    shutil.rmtree(release)
    return folder


@pytest.fixture(scope="module")
def installed(token: bytes) -> Iterator[Layer]:
    """A probe with the package installed, enrolled, and the fleet's release key."""
    with layer() as made:
        made.copy(package(FIRST), "/srv/agent.deb")
        made.put("/srv/token.toml", token)
        in_layer(made, "dpkg", "--install", "/srv/agent.deb")
        enrol = ("linewatch-agent", "enrol", "/srv/token.toml")
        in_layer(made, "runuser", "-u", "linewatch", "--", *enrol)
        made.put("/etc/linewatch/linewatch.toml", QUIET)
        made.put("/etc/linewatch/release.pub", f"{PUBLIC}\n")
        made.put(f"/etc/systemd/system/{AGENT}.d/test.conf", "[Service]\nRestartSec=100ms\n")
        yield made


@pytest.fixture
def probe(installed: Layer) -> Iterator[Layer]:
    """The same for one test, to be booted."""
    with layer(over=installed) as made:
        yield made


def hand_over(machine: Machine, published: Path) -> None:
    """Put a release into the inbox as the agent would: `ready`, which wakes root, last."""
    inbox = machine.seen / INBOX.lstrip("/")
    run_as_agent(machine, f"mkdir -p -m 0700 {INBOX}")
    for name in ("manifest", "archive"):
        shutil.copyfile(published / name, inbox / name)
    machine.run("chown", "-R", "linewatch:linewatch", INBOX)
    run_as_agent(machine, f"echo {SECOND} > {INBOX}/new && mv {INBOX}/new {INBOX}/ready")


def run_as_agent(machine: Machine, script: str) -> None:
    """Run a shell script as the agent's user."""
    machine.run("runuser", "-u", "linewatch", "--", "sh", "-ec", script)


def current(machine: Machine) -> str | None:
    """Return the release that `current` leads to."""
    return Shelf(Places(machine.layer.path)).current()


def running(machine: Machine, *, after: str = "") -> str:
    """Return the version of the agent's process, "" while none other than `after` is ready."""
    shown = machine.show(AGENT, "MainPID", "ActiveState")
    if shown["ActiveState"] != "active" or shown["MainPID"] == after:
        return ""
    line = machine.run("cat", f"/proc/{shown['MainPID']}/cmdline", check=False)
    return agent_version(machine) if "linewatch-agent" in line else ""


def agent_version(machine: Machine) -> str:
    """Return the version of the running agent, as it tells it itself."""
    said = machine.run("journalctl", "--no-pager", "-o", "cat", "-u", AGENT, check=False)
    starts = [line for line in said.splitlines() if "agent_started" in line]
    return starts[-1].partition("version=")[2].split()[0] if starts else ""


def test_a_release_is_taken_tried_and_proved(probe: Layer, published: Path) -> None:
    """Root is woken, checks, flips and restarts the agent; its proof ends the trial."""
    with booted(probe) as machine:
        machine.wait_until(lambda: running(machine) == FIRST, "the package's agent does not run")
        hand_over(machine, published)
        machine.wait_until(lambda: running(machine) == SECOND, "the release does not run")
        said = machine.journal("linewatch-release-gate.service")
        assert f"{SECOND} is on trial: start 1 of 3" in said
        run_as_agent(machine, f"echo {SECOND} > {INBOX}/proved")
        machine.wait_until(
            lambda: f"{SECOND} has proved itself" in machine.journal("linewatch-release.service"),
            "root takes no notice of the proof",
        )
        assert not (machine.layer.path / "var/lib/linewatch-release/trial.json").exists()
        machine.run("systemctl", "restart", AGENT)
        assert current(machine) == SECOND
        assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_a_release_that_crashes_is_taken_back(probe: Layer, published: Path) -> None:
    """Killed at each start, a release on trial goes after three; the one before runs again."""
    with booted(probe) as machine:
        machine.wait_until(lambda: running(machine) == FIRST, "the package's agent does not run")
        hand_over(machine, published)
        machine.wait_until(lambda: running(machine) == SECOND, "the release does not run")
        for _ in range(TRIES_MAX):
            assert current(machine) == SECOND
            before = machine.show(AGENT, "MainPID")["MainPID"]
            machine.run("systemctl", "kill", "--signal=KILL", AGENT)
            machine.wait_until(
                lambda before=before: running(machine, after=before) != "",  # type: ignore[misc]
                "the agent is not started again",
            )
        machine.wait_until(lambda: running(machine) == FIRST, "the way back was not taken")
        said = machine.journal("linewatch-release-gate.service")
        assert f"{SECOND} did not prove itself in 3 starts: back to {FIRST}" in said
        assert current(machine) == FIRST


def test_what_nobody_signed_is_refused(probe: Layer, published: Path) -> None:
    """An archive that was changed on the way stays in the inbox's past: the agent runs on."""
    with booted(probe) as machine:
        machine.wait_until(lambda: running(machine) == FIRST, "the package's agent does not run")
        pid = machine.show(AGENT, "MainPID")
        run_as_agent(machine, f"mkdir -p {INBOX}")
        hand_over_changed(machine, published)
        machine.wait_until(
            lambda: "not the one that was signed" in machine.journal("linewatch-release.service"),
            "root does not refuse it",
        )
        assert machine.show(AGENT, "MainPID") == pid
        assert current(machine) == FIRST
        assert machine.run("ls", INBOX) == ""


def hand_over_changed(machine: Machine, published: Path) -> None:
    """Hand over a release with one bit of its archive changed."""
    data = bytearray((published / "archive").read_bytes())
    data[len(data) // 2] ^= 1
    changed = published.parent / "changed"
    changed.mkdir()
    (changed / "archive").write_bytes(data)
    shutil.copy(published / "manifest", changed)
    hand_over(machine, changed)
