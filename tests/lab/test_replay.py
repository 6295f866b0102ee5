"""Whole replays: the real agent, broker and server in the country, and what a crash leaves."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.agent_config import Pace
from tests.lab.leftovers import sweep
from tests.lab.plan import load_country
from tests.lab.replay import play
from tests.lab.scenario import Fault
from tests.lab.scenario_file import parse_scenario
from tests.lab.stage import CannotPlayError, Stage
from tests.lab.worker import ROOT

LAB = (sys.executable, "-m", "tests.lab")
STAGE = """
import sys
from tests.lab.agent_config import Pace
from tests.lab.plan import load_country
from tests.lab.replay import play
from tests.lab.scenario import Fault
from tests.lab.scenario_file import load_scenario, parse_scenario
from tests.lab.stage import Stage
with Stage(load_scenario("ok", load_country()), seed=1, pace=Pace()) as stage:
    print(stage.country.folder, flush=True)
    sys.stdin.read()
"""


def _play(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Play by the command line; return its exit code and its outcome."""
    outcome = folder / "outcome.json"
    done = subprocess.run(
        [*LAB, *arguments, "--json", str(outcome)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.exists(), done.stdout + done.stderr
    print(done.stdout)
    found: dict[str, Any] = json.loads(outcome.read_bytes())
    return done.returncode, found


@pytest.mark.timeout(600)
def test_a_cut_is_told_right_from_end_to_end(tmp_path: Path) -> None:
    """Every bar holds: the server dates onset and end on each line, and has every record once."""
    code, outcome = _play(tmp_path, "intl-cut", "--seed", "1")
    assert outcome["missed_bars"] == []
    assert code == 0
    assert len(outcome["changes"]) == 6
    (restoration,) = outcome["restorations"]
    assert restoration["backlog"] > 500


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_wrong_clock_is_no_interception(tmp_path: Path) -> None:
    """The agent sees only certificates that are out of their time, and no line is called other."""
    code, outcome = _play(tmp_path, "control-wrong-clock", "--seed", "1")
    assert outcome["missed_bars"] == outcome["changes"] == []
    assert code == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kazakhstan_is_told_right(tmp_path: Path) -> None:
    """Five days in at most twelve minutes: every transition, and no record lost."""
    code, outcome = _play(tmp_path, "kazakhstan-2022", "--seed", "1")
    assert outcome["missed_bars"] == []
    assert code == 0
    assert outcome["ran_s"] < 12 * 60


FAULT = """
name = "fault"
about = "Half an hour in which one thing fails, and no line does."
begins = 2026-03-01T00:00:00Z
ends = 2026-03-01T00:30:00Z
[[event]]
begins = 2026-03-01T00:10:00Z
ends = 2026-03-01T00:20:00Z
fault = "{fault}"
{which}
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("fault", "which"),
    [
        (Fault.BROKER_WIPED, ""),
        (Fault.SERVER_RESTORED, ""),
        (Fault.FULL_DISK, ""),
        (Fault.MODEM_HUNG, 'operator = "beta"\nkind = "mobile"'),
    ],
)
def test_a_fault_loses_nothing_and_makes_no_line_fail(fault: Fault, which: str) -> None:
    """What the broker forgot or the server lost comes again; what a full disk costs is told."""
    scenario = parse_scenario(FAULT.format(fault=fault, which=which), load_country(), name="f.toml")
    outcome = play(scenario, seed=1, pace=Pace(), show=lambda _: None)
    assert outcome.missed_bars() == []
    tally = outcome.tally
    assert tally.committed == tally.stored_once + tally.gaps > 3_000
    assert not tally.gaps or fault is Fault.FULL_DISK


def test_a_fault_that_cannot_be_made_is_refused() -> None:
    """A disk that fails under open files: the reason comes before anything is built."""
    text = FAULT.format(fault="read_only_disk", which="")
    scenario = parse_scenario(text, load_country(), name="f.toml")
    with pytest.raises(CannotPlayError, match=r"cannot play read_only_disk: .* open files"):
        Stage(scenario, seed=1, pace=Pace())


def test_a_killed_replay_leaves_nothing_that_the_next_start_does_not_remove() -> None:
    """The agent and the server die with the lab; the broker's child and the folder are swept."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", STAGE]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as lab:
        assert lab.stdout is not None
        folder = Path(lab.stdout.readline().strip())
        programs = _pids_with(str(folder))
        assert len(programs) >= 4, "agent, server, broker and Mosquitto"
        waits = [os.pidfd_open(pid) for pid in programs]
        lab.send_signal(signal.SIGKILL)
        lab.wait()
    assert f"{folder.name}-probe" in sweep()
    for descriptor in waits:
        # Readable once the process has ended: the kernel's own word, no timing of ours.
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)
    assert not folder.exists()


def _pids_with(text: str) -> list[int]:
    """Return the processes whose command line has a text in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
