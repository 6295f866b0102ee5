"""The lab leaves nothing behind, whatever ends it, and touches nobody else's."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ip
from tests.lab.conftest import Lab
from tests.lab.country import Country
from tests.lab.leftovers import new_marker, remove_netns, sweep
from tests.lab.worker import ROOT

NETNS = Path("/run/netns")
CHILD = """
from tests.lab.country import Country
country = Country().__enter__()
print(country.netns("probe").name, *[worker.pid for worker in country._workers], flush=True)
input()
"""


def _of(marker: str) -> list[str]:
    """Return the namespaces and folders whose names begin with a marker."""
    places = (NETNS, Path(tempfile.gettempdir()))
    return [path.name for place in places for path in place.glob(f"{marker}*")]


@pytest.fixture
def foreign() -> Iterator[str]:
    """Make a namespace that only looks a little like a lab's."""
    name = f"lwlab-other-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_killed_lab_is_cleaned_up_at_the_next_start(running: Lab, foreign: str) -> None:
    """After kill -9 its children end, and the next start removes its namespaces and folder.

    The lab of this very process and a stranger's namespace stay.
    """
    command = [sys.executable, "-c", CHILD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as lab:
        assert lab.stdout is not None
        probe, *pids = lab.stdout.readline().split()
        marker = probe.removesuffix("-probe")
        waits = [os.pidfd_open(int(pid)) for pid in pids]
        assert len(_of(marker)) > 10
        lab.send_signal(signal.SIGKILL)
        lab.wait()
    for descriptor in waits:
        # Readable once the process has ended: the kernel's own word, no timing of ours.
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)
    here = running.country.netns("probe").name.removesuffix("-probe")
    before = _of(here)
    with Country() as country:
        assert probe in country.swept
    assert _of(marker) == []
    assert _of(here) == before
    assert (NETNS / foreign).exists()


def test_leaving_removes_everything_and_twice_is_fine() -> None:
    """After the block no namespace and no folder of it exists; closing again does nothing."""
    with Country() as country:
        marker = country.netns("probe").name.removesuffix("-probe")
        assert len(_of(marker)) > 10
    assert _of(marker) == []
    country.close()


def test_a_lab_that_fails_to_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was made before the failure is removed."""

    def broken(commands: list[str], *, netns: str | None = None) -> None:
        if any("lan0" in command for command in commands):
            raise RuntimeError("no more devices")
        ip.batch(commands, netns=netns)

    monkeypatch.setattr("tests.lab.country.batch", broken)
    own = f"lwlab-{os.getpid()}-"
    before = set(_of(own))
    with pytest.raises(RuntimeError, match="no more devices"), Country():
        pass
    assert set(_of(own)) == before


def test_only_labs_are_removed() -> None:
    """A name that is no lab's is refused, and a living lab's marker is never stale."""
    with pytest.raises(ValueError, match="it is no namespace of a lab"):
        remove_netns("default")
    name = f"{new_marker()}-probe"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        assert name not in sweep()
        assert (NETNS / name).exists()
    finally:
        remove_netns(name)


def test_another_user_is_told_to_be_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason and the remedy come before anything is made."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RuntimeError, match=r"cannot make the lab: it needs root .* sudo"):
        Country()
