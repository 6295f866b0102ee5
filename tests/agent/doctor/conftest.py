"""A machine for each test of the doctor."""

from pathlib import Path

import pytest

from tests.support.doctor_machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine whose programs are found first."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", made.search_path())
    return made
