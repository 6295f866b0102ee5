"""The Debian package's release: put in place, upgraded, and never a step back."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linewatch_agent.releases.adopt import AdoptError, adopt
from linewatch_agent.releases.gate import Gate
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.trial import Trial, read_trial, write_trial
from tests.support.releases import probe_tree, release_folder, starts


def package_of(shelf: Shelf, version: str, *, says: str | None = None) -> Path:
    """Put another package's files where dpkg would; as it does, with new files for all."""
    shutil.rmtree(shelf.places.package, ignore_errors=True)
    return release_folder(shelf.places.package, version, says=says)


def test_the_first_package(tmp_path: Path) -> None:
    """On a machine without any release, the package's runs."""
    shelf = Shelf(Places(tmp_path))
    assert adopt(shelf, package_of(shelf, "1.0"))
    assert starts(shelf) == "1.0"
    assert not adopt(shelf, shelf.places.package)


def test_an_upgrade_keeps_what_ran(tmp_path: Path) -> None:
    """A newer package runs; the release before stays whole although dpkg replaced its files."""
    shelf = probe_tree(tmp_path, "1.0")
    assert adopt(shelf, package_of(shelf, "1.1"))
    assert starts(shelf) == "1.1"
    assert shelf.versions() == ["1.0", "1.1"]
    assert (shelf.folder("1.0") / "lib/common/code.py").read_text() == "VERSION = '1.0'\n"


def test_a_release_from_over_the_air_is_never_taken_back(tmp_path: Path) -> None:
    """A package older than what runs is kept at hand, and does not run."""
    shelf = probe_tree(tmp_path, "1.0", "1.5")
    assert not adopt(shelf, package_of(shelf, "1.4"))
    assert starts(shelf) == "1.5"
    assert shelf.versions() == ["1.4", "1.5"]


def test_a_newer_package_ends_a_trial(tmp_path: Path) -> None:
    """A person at the machine overrules what is on trial."""
    shelf = probe_tree(tmp_path, "1.0", "1.1")
    write_trial(shelf.places, Trial("1.1", "1.0", 5, tries=2))
    adopt(shelf, package_of(shelf, "1.2"))
    assert read_trial(shelf.places) is None
    assert Gate(shelf).pass_agent() is None
    assert starts(shelf) == "1.2"


def test_a_trial_that_goes_on_keeps_its_way_back(tmp_path: Path) -> None:
    """An older package leaves the release on trial, and the one to go back to."""
    shelf = probe_tree(tmp_path, "1.0", "1.1", "1.3")
    write_trial(shelf.places, Trial("1.3", "1.1", 5))
    adopt(shelf, package_of(shelf, "1.2"))
    assert starts(shelf) == "1.3"
    assert shelf.versions() == ["1.1", "1.2", "1.3"]


def test_the_same_version_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the same number replaces what runs, and something runs all the while."""
    shelf = probe_tree(tmp_path, "1.0")
    adopt(shelf, package_of(shelf, "1.0"))
    ran = []
    finish = Shelf.finish

    def watched(self: Shelf, folder: Path, version: str) -> None:
        ran.append(starts(self))
        finish(self, folder, version)
        ran.append(starts(self))

    monkeypatch.setattr(Shelf, "finish", watched)
    assert adopt(shelf, package_of(shelf, "1.0", says="mended"))
    assert ran == ["mended", "mended"]
    assert starts(shelf) == "mended"
    assert shelf.current() == "1.0"


SHELF = "linewatch_agent.releases.shelf:Shelf"
STEPS = [f"{SHELF}.{name}" for name in ("unfinished", "finish", "point_at", "flip", "prune")]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.partition(":")[2])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_upgrade_killed_at_every_step(
    version: str, step: str, when: str, tmp_path: Path
) -> None:
    """Wherever dpkg's script is killed, something whole runs, and dpkg's second try ends it."""
    shelf = probe_tree(tmp_path, "1.0")
    package = package_of(shelf, version, says="new")
    module = "linewatch_agent.releases.command"
    command = [sys.executable, "-m", "tests.support.killed_at", f"{when} {step}", "1", module]
    killed = subprocess.run(
        [*command, "--root", str(tmp_path), "adopt"], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert starts(shelf) in ("1.0", "new")
    Gate(shelf).pass_agent()
    assert starts(shelf) in ("1.0", "new")
    adopt(shelf, package)
    assert starts(shelf) == "new"
    assert shelf.current() == version


def test_no_release_in_the_package(tmp_path: Path) -> None:
    """A folder that holds none is told in words."""
    with pytest.raises(AdoptError, match="it holds no release"):
        adopt(Shelf(Places(tmp_path)), tmp_path)


def test_compiled_here(tmp_path: Path) -> None:
    """A release comes with its compiled form, since the agent may not write beside its code."""
    shelf = Shelf(Places(tmp_path))
    adopt(shelf, package_of(shelf, "1.0"))
    assert list(shelf.folder("1.0").glob("lib/common/__pycache__/code.*.pyc"))
    assert not list(shelf.places.package.glob("lib/common/__pycache__"))
