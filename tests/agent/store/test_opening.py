"""Who may use the state folder, and what is said when it can't be used."""

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.store import opening
from linewatch_agent.store.database import StoreError, StoreFullError
from linewatch_agent.store.opening import NEW_FILE, lock_directory, open_database, os_error
from tests.support.probe import Probe, sample

ROOT = Path(__file__).parents[3]


def test_a_second_agent_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Another process is told to stop the first one; after that it may."""
    lock = lock_directory(tmp_path / "s")
    code = (
        "import sys; from pathlib import Path\n"
        "from linewatch_agent.store.opening import lock_directory\n"
        "lock_directory(Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "another agent is running on it; stop that one first" in second.stderr
    os.close(lock)
    assert subprocess.run(command, check=False).returncode == 0


def test_an_agent_waits_for_who_only_looks_into_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` at the moment of a start: what holds the lock is gone when it is tried again."""
    look = lock_directory(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(look))
    os.close(lock_directory(tmp_path, wait_s=60))


def test_the_folder_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    """Parents too; nobody else can look in."""
    os.close(lock_directory(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_the_folder_may_not_be_a_file(tmp_path: Path) -> None:
    """One line that names the folder and says what to do."""
    (tmp_path / "s").write_text("x")
    with pytest.raises(StoreError, match=r"^cannot use \S+: File exists; choose another folder"):
        lock_directory(tmp_path / "s")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Yield a folder that any user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _as_nobody(folder: Path, results: "multiprocessing.Queue[str]") -> None:
    """Try the folder as a user who may read it but not write to it."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    for use in (lock_directory, open_database):
        try:
            use(folder)
            results.put("no error")
        except StoreError as error:
            results.put(str(error))


def test_a_folder_that_cannot_be_written_is_told_in_one_line(open_to_all: Path) -> None:
    """Permission denied: as whom to run, or where else to go; also for an existing store."""
    results: multiprocessing.Queue[str] = multiprocessing.get_context("fork").Queue()
    for existing in (False, True):
        folder = open_to_all / str(existing)
        folder.mkdir()
        if existing:
            probe = Probe(folder)
            probe.commit(sample(1))
            probe.store.close()
            for path in folder.iterdir():
                path.chmod(0o444)
        folder.chmod(0o555)
        process = multiprocessing.get_context("fork").Process(
            target=_as_nobody, args=(folder, results)
        )
        process.start()
        lines = [results.get(timeout=120), results.get(timeout=120)]
        process.join()
        folder.chmod(0o755)
        assert all(line.startswith(f"cannot use {folder}") for line in lines)
        assert all("--state" in line and "\n" not in line for line in lines)
        assert "permission denied; run as the user that owns it" in lines[0]
    assert not list(open_to_all.glob("*/*damaged*"))


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        ("ENOSPC", StoreFullError, "no space left on the disk; free at least 64 MB"),
        ("EDQUOT", StoreFullError, "no space left on the disk; free at least 64 MB"),
        ("EROFS", StoreError, "the file system is read-only; check the card"),
        ("EACCES", StoreError, "permission denied; run as the user"),
        ("EIO", StoreError, "Input/output error; choose another folder"),
    ],
)
def test_what_the_system_says_becomes_one_line(
    number: str, kind: type[StoreError], words: str
) -> None:
    """Each has what to do about it."""
    code = getattr(errno, number)
    error = os_error(Path("/state"), OSError(code, os.strerror(code)))
    assert type(error) is kind
    assert str(error).startswith("cannot use /state: ")
    assert words in str(error)
    assert "--state" in str(error)


def test_a_store_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut while it is being made: the next start makes it, and claims no damage."""

    def cut(_: Path) -> None:
        raise KeyboardInterrupt

    (tmp_path / "s").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: cut(tmp_path))
        with pytest.raises(KeyboardInterrupt):
            opening.open_database(tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == [NEW_FILE]
    probe = Probe(tmp_path / "s")
    assert probe.store.opening_gap(9) is None
    assert not (tmp_path / "s" / NEW_FILE).exists()


def test_the_settings_that_durability_rests_on(tmp_path: Path) -> None:
    """WAL, a flush at every commit, and a WAL that the reserve can write back."""
    db = open_database(tmp_path).db
    settings = {
        name: db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode", "wal_autocheckpoint")
    }
    db.close()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "locking_mode": "exclusive",
        "wal_autocheckpoint": opening.WAL_PAGES,
    }
