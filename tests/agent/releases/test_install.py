"""Root's part of an update: what it takes and refuses, and that kills at every step end well."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from linewatch_agent.releases.gate import Gate
from linewatch_agent.releases.install import Installer
from linewatch_agent.releases.memory import read_memory
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.trial import TRIES_MAX, read_trial
from linewatch_core.errors import LinewatchError
from tests.support.releases import BUILT_S, hand_over, made_release, probe_tree, starts

INSTALLER = "linewatch_agent.releases.install:Installer"
SHELF = "linewatch_agent.releases.shelf:Shelf"
STEPS = [
    f"{INSTALLER}.read_manifest",
    f"{INSTALLER}.check",
    f"{INSTALLER}.copy",
    f"{INSTALLER}.unpack",
    f"{SHELF}.unfinished",
    "linewatch_agent.releases.unpack:_Stream.exactly",
    f"{SHELF}.finish",
    f"{INSTALLER}.begin_trial",
    f"{INSTALLER}.flip",
    f"{SHELF}.point_at",
    f"{INSTALLER}.empty_inbox",
    f"{SHELF}.prune",
]


def update(root: Path, *trap: str) -> subprocess.CompletedProcess[str]:
    """Run root's command on a tree, killed where `trap` says: a point and a count."""
    module = "linewatch_agent.releases.command"
    killed = ["tests.support.killed_at", *trap] if trap else []
    command = [sys.executable, "-m", *killed, module]
    return subprocess.run(
        [*command, "--root", str(root), "update"], capture_output=True, text=True, check=False
    )


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """Root's command takes a release, ends its trial, and refuses in one line with exit code 1."""
    shelf = probe_tree(tmp_path / "probe", "1.0")
    made = made_release(tmp_path / "new", "1.1")
    hand_over(shelf.places, made)
    taken = update(shelf.places.root)
    assert (taken.returncode, "1.1 runs on trial" in taken.stdout) == (0, True), taken.stderr
    (shelf.places.inbox / "proved").write_text("1.1\n")
    assert "1.1 has proved itself" in update(shelf.places.root).stdout
    hand_over(shelf.places, made)
    refused = update(shelf.places.root)
    assert (refused.returncode, refused.stderr) == (
        1,
        "linewatch-release: release refused: 1.1 runs already\n",
    )


def test_a_release_runs_on_trial_and_then_for_good(tmp_path: Path) -> None:
    """What was handed over runs; proved, its trial is over and only what is of use is kept."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1", "1.2")
    hand_over(shelf.places, made_release(tmp_path / "new", "1.3"))
    installer = Installer(shelf)
    assert installer.install() == "1.3"
    assert starts(shelf) == "1.3"
    trial = read_trial(shelf.places)
    assert trial is not None
    assert (trial.version, trial.previous, trial.tries) == ("1.3", "1.2", 0)
    assert list(shelf.places.inbox.iterdir()) == []
    assert installer.settle() is None

    (shelf.places.inbox / "proved").write_text("1.3\n")
    assert installer.settle() == "1.3"
    assert read_trial(shelf.places) is None
    assert shelf.versions() == ["1.0", "1.2", "1.3"]
    assert installer.install() is None


def test_three_tries_then_back(tmp_path: Path) -> None:
    """A release that is started three times unproved is replaced by the one before it."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    bad = made_release(tmp_path / "new", "1.2")
    hand_over(shelf.places, bad)
    Installer(shelf).install()
    ran = []
    for _ in range(TRIES_MAX + 1):
        Gate(shelf).pass_agent()
        ran.append(starts(shelf))
    assert ran == ["1.2", "1.2", "1.2", "1.1"]
    assert read_trial(shelf.places) is None
    assert read_memory(shelf.places).failed == ("1.2",)

    hand_over(shelf.places, bad)
    with pytest.raises(LinewatchError, match="did not prove itself here"):
        Installer(shelf).install()
    hand_over(shelf.places, made_release(tmp_path / "anew", "1.2", created_s=BUILT_S + 2))
    assert Installer(shelf).install() == "1.2"


def test_an_older_proof_does_not_count(tmp_path: Path) -> None:
    """What proved another release, or this one before, proves nothing on trial."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    (shelf.places.inbox / "proved").write_text("1.2\n")
    hand_over(shelf.places, made_release(tmp_path / "new", "1.2"))
    Installer(shelf).install()
    (shelf.places.inbox / "ready").unlink(missing_ok=True)
    assert Gate(shelf).pass_agent() == "1.2 is on trial: start 1 of 3"


def _signed_by_another(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2", key=SigningKey(b"x" * 32)))


def _archive_changed(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    archive = shelf.places.inbox / "archive"
    archive.write_bytes(archive.read_bytes()[:-1] + b"?")


def _archive_cut(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    archive = shelf.places.inbox / "archive"
    archive.write_bytes(archive.read_bytes()[:-100])


def _archive_a_link(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    archive = shelf.places.inbox / "archive"
    archive.rename(work / "elsewhere")
    archive.symlink_to(work / "elsewhere")


def _archive_a_pipe(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    (shelf.places.inbox / "archive").unlink()
    os.mkfifo(shelf.places.inbox / "archive")


def _manifest_missing(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    (shelf.places.inbox / "manifest").unlink()


def _older(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "0.9"))


def _another_inside(shelf: Shelf, work: Path) -> None:
    other = made_release(work, "1.2")
    import hashlib

    from linewatch_agent.releases.machine import machine_tag
    from linewatch_core.release.manifest import Archive, Manifest, sign_manifest
    from tests.support.releases import KEY, Made

    archive = Archive(
        url="x",
        sha256=hashlib.sha256(other.archive).hexdigest(),
        bytes=len(other.archive),
        unpacked_bytes=100_000,
    )
    manifest = Manifest(
        version="1.9", created=BUILT_S + 1, python="3.11", archives={machine_tag(): archive}
    )
    hand_over(shelf.places, Made("1.9", other.archive, sign_manifest(manifest, KEY)))


def _does_not_start(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2", says="Segmentation fault"))


def _no_key(shelf: Shelf, work: Path) -> None:
    hand_over(shelf.places, made_release(work, "1.2"))
    shelf.places.key.unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_signed_by_another, "signed by someone else"),
        (_archive_changed, "not the one that was signed"),
        (_archive_cut, "not the one that was signed"),
        (_archive_a_link, "cannot use"),
        (_archive_a_pipe, "not a plain file"),
        (_manifest_missing, "cannot use"),
        (_older, "is older than 1.1"),
        (_another_inside, "it says that it is 1.2, not 1.9"),
        (_does_not_start, "--version said: Segmentation fault"),
        (_no_key, "cannot read the release key"),
    ],
)
def test_what_is_wrong_is_refused(
    spoil: Callable[[Shelf, Path], None], reason: str, tmp_path: Path
) -> None:
    """Root believes nothing that the agent brings: it says why, and what ran runs on."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    spoil(shelf, tmp_path / "new")
    with pytest.raises(LinewatchError, match=reason):
        Installer(shelf).install()
    assert starts(shelf) == "1.1"
    assert read_trial(shelf.places) is None
    assert reason in read_memory(shelf.places).reason
    assert list(shelf.places.inbox.glob("ready")) == []
    assert Installer(shelf).install() is None


def test_a_downgrade_is_taken_once_if_signed_so(tmp_path: Path) -> None:
    """An older release replaces a newer one if its manifest says so, and was signed later."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    replayed = made_release(tmp_path / "old", "1.0", created_s=BUILT_S, downgrade=True)
    hand_over(shelf.places, replayed)
    with pytest.raises(LinewatchError, match="a replayed manifest"):
        Installer(shelf).install()
    down = made_release(tmp_path / "down", "1.0", created_s=BUILT_S + 5, downgrade=True)
    hand_over(shelf.places, down)
    assert Installer(shelf).install() == "1.0"
    assert starts(shelf) == "1.0"


def test_an_unproved_release_is_never_what_to_go_back_to(tmp_path: Path) -> None:
    """A release that comes while another is on trial goes back to the one that was proved."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    for version in ("1.2", "1.3"):
        hand_over(shelf.places, made_release(tmp_path / version, version))
        Installer(shelf).install()
    trial = read_trial(shelf.places)
    assert trial is not None
    assert (trial.version, trial.previous) == ("1.3", "1.1")


def test_a_full_disk_leaves_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while a release is unpacked costs nothing but the try."""
    shelf = probe_tree(tmp_path / "probe", "1.0", "1.1")
    hand_over(shelf.places, made_release(tmp_path / "new", "1.2"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "finish", full)
        with pytest.raises(OSError, match="No space"):
            Installer(shelf).install()
    assert starts(shelf) == "1.1"
    assert sorted(os.listdir(shelf.places.releases)) == ["1.0", "1.1"]
    assert Installer(shelf).install() == "1.2"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.partition(":")[2])
def test_killed_at_every_step(step: str, when: str, tmp_path: Path) -> None:
    """Wherever root's work is killed, a whole release runs; done again, the new one does."""
    root = tmp_path / "probe"
    shelf = probe_tree(root, "1.0", "1.1")
    hand_over(shelf.places, made_release(tmp_path / "new", "1.2"))
    killed = update(root, f"{when} {step}", "1")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert starts(shelf) in ("1.1", "1.2")

    Gate(shelf).pass_agent()
    assert starts(shelf) in ("1.1", "1.2")
    Installer(shelf).install()
    assert starts(shelf) == "1.2"
    assert len(shelf.versions()) <= 3
    trial = read_trial(shelf.places)
    assert trial is not None
    assert (trial.version, trial.previous) == ("1.2", "1.1")
    (shelf.places.inbox / "proved").write_text("1.2\n")
    assert Installer(shelf).settle() == "1.2"
    assert read_trial(shelf.places) is None
    assert len(os.listdir(shelf.places.releases)) <= 3


GATE_STEPS = [
    "linewatch_agent.releases.gate:Gate.roll_back",
    "linewatch_agent.releases.gate:Gate.mend",
    f"{SHELF}.flip",
    f"{SHELF}.point_at",
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", GATE_STEPS, ids=lambda step: step.partition(":")[2])
def test_the_way_back_killed_at_every_step(step: str, when: str, tmp_path: Path) -> None:
    """Wherever the gate is killed on the way back, the next start ends there all the same."""
    root = tmp_path / "probe"
    shelf = probe_tree(root, "1.0", "1.1")
    hand_over(shelf.places, made_release(tmp_path / "new", "1.2"))
    Installer(shelf).install()
    for _ in range(TRIES_MAX):
        Gate(shelf).pass_agent()
    gate = "linewatch_agent.releases.gate"
    trap = [sys.executable, "-c", _TRAPPED_GATE, f"{when} {step}", str(root)]
    killed = subprocess.run(trap, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, (gate, killed.stderr)
    assert starts(shelf) in ("1.1", "1.2")
    Gate(shelf).pass_agent()
    assert starts(shelf) == "1.1"
    assert read_memory(shelf.places).failed == ("1.2",)


_TRAPPED_GATE = """
import sys
from tests.support.killed_at import set_trap
from linewatch_agent.releases.gate import main
set_trap(sys.argv[1], 1)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00" * 40, '{"version": 3}', "[" * 9999])
def test_damaged_records_count_as_none(content: str, tmp_path: Path) -> None:
    """After a power cut that left rubbish in root's records, the agent starts as before."""
    shelf = probe_tree(tmp_path, "1.0", "1.1")
    for name in ("trial.json", "memory.json"):
        (shelf.places.state / name).write_text(content)
    assert read_trial(shelf.places) is None
    assert read_memory(shelf.places).failed == ()
    assert Gate(shelf).pass_agent() is None


@pytest.mark.parametrize("damage", ["no link", "leads nowhere", "leads out", "release half gone"])
def test_the_gate_mends_what_runs(damage: str, tmp_path: Path) -> None:
    """Where `current` leads to no whole release, the gate makes it lead to one."""
    shelf = probe_tree(tmp_path, "1.0", "1.1")
    current = shelf.places.current
    if damage == "release half gone":
        (shelf.folder("1.1") / "VERSION").unlink()
    else:
        current.unlink()
    if damage == "leads nowhere":
        current.symlink_to("releases/9.9")
    elif damage == "leads out":
        current.symlink_to("/etc")
    Gate(shelf).pass_agent()
    assert starts(shelf) == ("1.0" if damage == "release half gone" else "1.1")


def test_the_gate_falls_back_on_the_package(tmp_path: Path) -> None:
    """Where every release was lost, the one that the package brought is put in place again."""
    shelf = probe_tree(tmp_path, "1.0", "1.1")
    shelf.prune([])
    Gate(shelf).pass_agent()
    assert starts(shelf) == "1.0"


def test_the_gate_needs_the_standard_library_only(tmp_path: Path) -> None:
    """A release whose libraries do not load can still be judged."""
    probe_tree(tmp_path, "1.0")
    project = Path(__file__).parents[3]
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; "
        "from linewatch_agent.releases.gate import main; sys.exit(main([sys.argv[1]]))"
    )
    folders = [str(project / "agent"), str(project / "core")]
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_agent_can_read_what_root_remembers(tmp_path: Path) -> None:
    """What failed and was refused is for everybody to read, so that it is not fetched again."""
    places: Places = probe_tree(tmp_path / "probe", "1.0", "1.1").places
    _older(Shelf(places), tmp_path / "new")
    with pytest.raises(LinewatchError):
        Installer(Shelf(places)).install()
    file = places.state / "memory.json"
    assert file.stat().st_mode & 0o777 == 0o644
    assert json.loads(file.read_text())["refused"]
