"""The demo's folder and programs: what it may remove, and that it leaves nothing running."""

import sys
from pathlib import Path

import pytest

from demo.processes import DemoError, Programs, run


def test_only_an_earlier_demos_files_are_removed(tmp_path: Path) -> None:
    """A folder with anything else in it is left as it is."""
    folder = tmp_path / "state"
    Programs.in_fresh(folder)
    (folder / "old.log").touch()
    Programs.in_fresh(folder)
    assert not (folder / "old.log").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    with pytest.raises(DemoError, match="choose another --state"):
        Programs.in_fresh(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis").exists()


def test_a_file_in_the_folders_place_is_one_line(tmp_path: Path) -> None:
    """What is wrong, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match=r"cannot use .*file: .*; choose another --state"):
        Programs.in_fresh(tmp_path / "file")


def test_a_program_that_ended_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The demo says which one, and why, as far as it said so."""
    programs = Programs.in_fresh(tmp_path / "state")
    programs.start("probe", sys.executable, "-c", "import sys; sys.exit('no room')")
    programs.running["probe"].wait(30)
    with pytest.raises(DemoError, match="the probe ended by itself: no room"):
        programs.check()


def test_all_programs_are_ended_whatever_they_do(tmp_path: Path) -> None:
    """Asked first; a second end is no error."""
    programs = Programs.in_fresh(tmp_path / "state")
    for name in ("one", "two"):
        programs.start(name, sys.executable, "-c", "import time; time.sleep(600)")
    started = list(programs.running.values())
    programs.stop_all()
    programs.stop_all()
    assert all(process.poll() is not None for process in started)


def test_a_command_that_fails_says_why() -> None:
    """Its own words are the error's."""
    with pytest.raises(DemoError, match=r"^no such probe$"):
        run(sys.executable, "-c", "import sys; sys.exit('no such probe')")
    assert run(sys.executable, "-c", "print(1); exit(3)", check=False) == "1\n"
