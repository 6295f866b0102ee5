"""Every file of firmware-config/ and systemd/ has a test that fails without it.

The tables are checked against the folders at each run. In the slower tier each file is
emptied in a copy of the checkout, and its test must fail there: so no row says what is not so.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.appliance.exercised import EXERCISED, FOLDERS
from tests.appliance.root import ROOT

_COPIED = ("core", "agent", "server", "systemd", "firmware-config", "tests", "tools", "docs")
_FAILED = 1
"""What pytest ends with where tests ran, and some failed or could not be set up."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_goes_untested(folder: str) -> None:
    """The table has each file of the folder and no other, and the tests that it names are there."""
    files = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*")}
    kept = {str(each) for each in files if (ROOT / folder / each).is_file()}
    assert {name for name in kept if "__pycache__" not in name} == set(FOLDERS[folder])
    for test in FOLDERS[folder].values():
        file, name = test.split("::")
        assert f"def {name}(" in Path(__file__).with_name(file).read_text()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that builds packages of its own from the same downloads."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in _COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    (copy / ".cache").mkdir()
    for path in (ROOT / ".cache").iterdir():
        if path.name != "deb":
            (copy / ".cache" / path.name).symlink_to(path)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("file", EXERCISED)
def test_a_test_fails_without_the_file(checkout: Path, file: str) -> None:
    """With the file empty the test that the table names fails."""
    whole = (checkout / file).read_bytes()
    try:
        (checkout / file).write_bytes(b"")
        done = _run(checkout, EXERCISED[file])
    finally:
        (checkout / file).write_bytes(whole)
    assert done.returncode == _FAILED, f"{EXERCISED[file]} passes without {file}: {done.stdout}"


def _run(checkout: Path, test: str) -> "subprocess.CompletedProcess[str]":
    """Run one test of a checkout with that checkout's own code."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    path = os.pathsep.join(str(checkout / name) for name in ("", "core", "agent", "server"))
    return subprocess.run(
        [*command, f"tests/appliance/{test}"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
