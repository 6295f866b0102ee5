"""What the running agent knows of releases, and how often it looks for one."""

import asyncio
from pathlib import Path

import pytest

from linewatch_agent.releases import updater as updater_module
from linewatch_agent.releases import wiring as wiring_module
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.standing import InstallError
from linewatch_agent.releases.trial import Trial, write_trial
from linewatch_agent.releases.updater import NotNowError, Updater
from linewatch_agent.releases.wiring import Installed
from linewatch_core.errors import MalformedError
from tests.support.release_server import updater_for
from tests.support.releases import BUILT_S, probe_tree


def test_a_checkout_is_no_release(tmp_path: Path) -> None:
    """An agent whose code lies elsewhere is of none of the probe's releases."""
    shelf = probe_tree(tmp_path, "1.0")
    assert not Installed("1.0", shelf.places).is_release
    assert not Installed("1.0", Places(tmp_path / "empty")).is_release


def test_a_release_knows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of the release in place says what it stands on; after a flip it waits."""
    shelf = probe_tree(tmp_path, "1.0", "1.1")
    monkeypatch.setattr(wiring_module, "__file__", str(shelf.folder("1.1") / "lib/common/x.py"))
    installed = Installed("1.1", shelf.places)
    assert installed.is_release
    assert not installed.on_trial
    standing = installed.standing()
    assert (standing.version, standing.taken_s) == ("1.1", BUILT_S)
    write_trial(shelf.places, Trial("1.1", "1.0", 5))
    assert installed.on_trial
    shelf.flip("1.0")
    with pytest.raises(InstallError, match=r"1.0 is in place, 1.1 runs"):
        installed.standing()


async def test_it_looks_again_whatever_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting, refused or failed: the agent looks again, sooner where it only had to wait."""
    shelf = probe_tree(tmp_path, "1.0")
    monkeypatch.setattr(updater_module, "FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(updater_module, "RETRY_S", 0.0)
    outcomes: list[Exception | None] = [
        NotNowError("fixed-1 is dark"),
        NotNowError("fixed-1 is dark"),
        MalformedError("not a release's manifest"),
    ]
    looked = asyncio.Event()

    async def look(_: Updater) -> bool:
        outcome = outcomes.pop(0)
        if not outcomes:
            looked.set()
        if outcome is not None:
            raise outcome
        return False

    monkeypatch.setattr(Updater, "look", look)
    running = asyncio.create_task(updater_for(shelf.places, 1).run())
    async with asyncio.timeout(120):
        await looked.wait()
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
