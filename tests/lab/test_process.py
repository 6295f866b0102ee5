"""What becomes of a program in the lab: another boot, and scaled times, for itself alone."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from linewatch_agent import clock, watcher
from linewatch_core.verdict import turns
from tests.lab import process
from tests.lab.worker import ROOT


async def seen() -> list[object]:
    """Return, inside such a process, what the product's own code sees."""
    return [clock.boot_id(), watcher.LOOK_EVERY_S, turns.IN_FLIGHT_MS]


def _inside(*options: str) -> list[object]:
    command = ("unshare", "--mount", sys.executable, "-m", "tests.lab.process", *options)
    module = ("tests.support.netns", "tests.lab.test_process:seen", "[]")
    done = subprocess.run(
        [*command, *module], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_start_stands_for_another_boot(tmp_path: Path) -> None:
    """The process sees the id in the file; everybody else sees the kernel's."""
    before, other = clock.boot_id(), uuid.UUID(int=7, version=4)
    (tmp_path / "boot").write_text(f"{other}\n")
    boot, *_ = _inside("--boot", str(tmp_path / "boot"))
    assert boot == other.hex != before
    assert clock.boot_id() == before


def test_times_that_are_no_setting_are_scaled() -> None:
    """A second for 30: devices are looked at 30 times as often; without a scale nothing changes."""
    _, look_s, in_flight_ms = _inside("--round-s", "1")
    assert look_s == pytest.approx(watcher.LOOK_EVERY_S / 30)
    assert in_flight_ms == 200
    assert _inside()[1:] == [watcher.LOOK_EVERY_S, turns.IN_FLIGHT_MS]


def test_a_time_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever renames a constant of the product hears of it."""
    monkeypatch.setattr(process, "SCALED", {("linewatch_agent.watcher", "NO_SUCH_S"): None})
    with pytest.raises(AttributeError, match="NO_SUCH_S"):
        process.scale(0.5)
