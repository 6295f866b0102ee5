"""The Debian package in a Trixie root without a network: installed, upgraded, removed, purged."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_core.release.version import version_key
from tests.appliance.layers import Layer, layer
from tests.appliance.machine import in_layer
from tests.appliance.package import build, package
from tools.deb.__main__ import PROJECT
from tools.deb.placing import placed_files

OLD, NEW = "0.0.9", "0.1.0"
EVIDENCE = "/var/lib/linewatch/store.sqlite"
STATE = Path("var/lib/linewatch")


@pytest.fixture(scope="module")
def installed() -> Iterator[Layer]:
    """A root in which the package of an older version is installed."""
    with layer() as made:
        install(made, OLD)
        yield made


@pytest.fixture
def root(installed: Layer) -> Iterator[Layer]:
    """The same for one test, with something in its store and its settings."""
    with layer(over=installed) as made:
        made.put(EVIDENCE, "evidence", mode=0o600)
        made.put("/etc/linewatch/linewatch.toml", "[schedule]\nperiod_s = 20\n")
        in_layer(made, "chown", "linewatch:linewatch", EVIDENCE)
        yield made


def install(made: Layer, version: str) -> str:
    """Install a version of the package, and return what dpkg said."""
    made.copy(package(version), "/srv/agent.deb")
    return in_layer(made, "dpkg", "--install", "/srv/agent.deb")


def run(made: Layer, *command: str) -> str:
    """Run a command as the agent's user."""
    return in_layer(made, "runuser", "-u", "linewatch", "--", *command)


def shelf_of(made: Layer) -> Shelf:
    """Return the releases of a root."""
    return Shelf(Places(made.path))


def test_installs_and_runs_without_a_network(root: Layer) -> None:
    """The agent says its version and its lines, as its own user, with the package's libraries."""
    assert run(root, "linewatch-agent", "--version").strip() == OLD
    lines = in_layer(
        root,
        "runuser",
        "-u",
        "linewatch",
        "--",
        "linewatch-agent",
        "lines",
        "--config",
        "/etc/linewatch/linewatch.toml",
        check=False,
    )
    assert "device" in lines or "line" in lines
    assert run(root, "linewatch", "--version").strip() == OLD
    assert in_layer(root, "linewatch-release", "list") == f"{OLD}  runs\n"
    code = "import nacl.signing, msgspec, psutil, cryptography, dbus_fast, aiomqtt, structlog"
    agent = "/opt/linewatch/current/lib"
    script = (
        f"import sys, pathlib; sys.path[:0] = ['{agent}/common']; "
        "from linewatch_start import add_libraries; "
        f"assert add_libraries(pathlib.Path('{agent}')) is None; {code}; "
        "print(all('/opt/linewatch/' in m.__file__ for m in (nacl, msgspec, psutil)))"
    )
    assert run(root, "/usr/bin/python3", "-ISc", script).strip() == "True"


def test_belongs_to_root_and_is_compiled(root: Layer) -> None:
    """The agent's user can change nothing that it runs, and need not compile it."""
    release = shelf_of(root).folder(OLD)
    wrong = [
        path
        for path in [root.path / "opt/linewatch", *release.rglob("*")]
        if not path.is_symlink() and (path.stat().st_uid or path.stat().st_mode & 0o022)
    ]
    assert wrong == []
    assert list(release.glob("lib/common/linewatch_agent/__pycache__/app.cpython-313.pyc"))
    assert (root.path / STATE).stat().st_mode & 0o777 == 0o700
    # The root of the tests leaves out documents of all packages.
    changed = in_layer(root, "dpkg", "--verify", "linewatch-agent", check=False).splitlines()
    assert [line for line in changed if "/usr/share/doc/" not in line] == []


def test_upgrade_keeps_store_and_settings(root: Layer) -> None:
    """A newer package runs at once; evidence and settings are what they were."""
    install(root, NEW)
    assert run(root, "linewatch-agent", "--version").strip() == NEW
    assert run(root, "cat", EVIDENCE) == "evidence"
    assert "period_s = 20" in (root.path / "etc/linewatch/linewatch.toml").read_text()
    assert shelf_of(root).versions() == [OLD, NEW]


def test_never_back_from_a_newer_release(root: Layer) -> None:
    """A machine that got a newer release over the air keeps running it."""
    shelf = shelf_of(root)
    newer = "7.0.0"
    assert version_key(newer) > version_key(NEW)
    shutil.copytree(shelf.folder(OLD), shelf.folder(newer))
    (shelf.folder(newer) / "VERSION").write_text(f"{newer}\n")
    shelf.flip(newer)
    install(root, NEW)
    assert shelf.current() == newer
    assert shelf.versions() == [NEW, newer]


def test_removal_keeps_evidence_and_purge_does_not(root: Layer) -> None:
    """`apt remove` leaves what was measured; `apt purge` leaves nothing of ours."""
    in_layer(root, "dpkg", "--remove", "linewatch-agent")
    assert not (root.path / "opt/linewatch/releases").exists()
    assert not (root.path / "opt/linewatch/current").is_symlink()
    assert not (root.path / "usr/bin/linewatch-agent").is_symlink()
    assert (root.path / EVIDENCE.lstrip("/")).read_text() == "evidence"
    assert (root.path / "etc/linewatch/linewatch.toml").exists()

    install(root, NEW)
    assert run(root, "cat", EVIDENCE) == "evidence"
    in_layer(root, "dpkg", "--purge", "linewatch-agent")
    for left in ("var/lib/linewatch", "var/lib/linewatch-release", "etc/linewatch"):
        assert not (root.path / left).exists()
    found = [path for path in (root.path / "opt").rglob("*linewatch*") if path.is_dir()]
    assert found in ([], [root.path / "opt/linewatch"])


def test_every_file_of_systemd_is_in_the_package(root: Layer) -> None:
    """Each file of systemd/ that is a probe's lies where places.toml says."""
    placed = placed_files(PROJECT / "systemd")
    assert placed
    for one in placed:
        there = root.path / one.to
        assert there.read_bytes() == one.source.read_bytes(), one.to
        assert there.stat().st_mode & 0o777 == one.mode, one.to


def test_units_are_turned_on(root: Layer) -> None:
    """Installed in an image that does not run, the agent starts at the first boot."""
    for unit in ("linewatch-agent.service", "linewatch-release.path"):
        assert in_layer(root, "systemctl", "is-enabled", unit).strip() == "enabled"
    wants = "usr/lib/systemd/system/linewatch-agent.service.wants"
    gate = root.path / wants / "linewatch-release-gate.service"
    assert gate.resolve().exists() or gate.is_symlink()


def test_a_machine_without_a_native_part_is_told_so(root: Layer) -> None:
    """Another Python or processor gets one line that says what is missing."""
    lib = shelf_of(root).folder(OLD) / "lib"
    # Not renamed: an overlay can't rename a folder of a lower layer.
    shutil.rmtree(next(lib.glob("*-cp313")))
    (lib / "riscv64-cp399").mkdir()
    with pytest.raises(RuntimeError, match=r"no native part for .*it has riscv64-cp399"):
        run(root, "linewatch-agent", "--version")


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("nolib python3-nolib\nnacl python3-nacl\n", r"sudo apt-get install python3-nolib$"),
        ("nolib -\njson python3-json\n", r"lacks nolib for .*-cp313, and Debian has none"),
    ],
)
def test_libraries_without_wheels_are_named(lacking: str, said: str, root: Layer) -> None:
    """Where libraries are missing, the start file says which, and what helps."""
    lib = shelf_of(root).folder(OLD) / "lib"
    native = next(lib.glob("*-cp313"))
    (native / "LACKING").write_text(lacking)
    with pytest.raises(RuntimeError, match=said):
        run(root, "linewatch-agent", "--version")


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    """Built twice from the same sources, by other umasks and in other places: the same file."""
    project = tmp_path / "checkout"
    for name in ("core", "agent", "systemd"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, project / name, ignore=ignored)
    for name in ("LICENSE", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, project)
    made = []
    for umask in (0o022, 0o077):
        folder = tmp_path / f"build-{umask:o}"
        folder.mkdir()
        before = os.umask(umask)
        try:
            build(folder / "package.deb", version="1.0", project=project)
        finally:
            os.umask(before)
        made.append((folder / "package.deb").read_bytes())
    assert made[0] == made[1]


def test_a_file_without_a_place_fails_the_build(tmp_path: Path) -> None:
    """A file in systemd/ that nobody said a place for is not left out in silence."""
    (tmp_path / "odd.thing").touch()
    with pytest.raises(SystemExit, match=r"does not say where odd.thing of systemd/ goes"):
        placed_files(tmp_path)
