"""The lab's modems: one for each mobile line of the country, and nothing left of them."""

import asyncio
import time
from pathlib import Path

import pytest

from linewatch_agent.modems.once import ask_modems
from linewatch_agent.plan.line import Line
from tests.lab.modems import Modems
from tests.lab.plan import load_country


def test_each_mobile_line_has_a_modem_of_its_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the agent reads them, each at home in its own operator's network."""
    plan = load_country()
    lines = [Line(line.id, line.kind, line.device) for line in plan.line]
    with Modems.start(tmp_path, plan) as modems:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", modems.address)
        found, said, _ = asyncio.run(ask_modems(lines))
    assert [line.operator for line in found] == [None, "00102", "00103"]
    assert said.keys() == {"mobile-1", "mobile-2"}


def test_a_line_or_a_fact_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A scenario's misspelling must not pass for a modem that is well."""
    with Modems.start(tmp_path, load_country()) as modems:
        with pytest.raises(RuntimeError, match="no mobile line is called 'fixed-1'"):
            modems.set("fixed-1", hung=True)
        with pytest.raises(RuntimeError, match="unknown field `beerer`"):
            modems.set("mobile-1", beerer="refused")
        with pytest.raises(RuntimeError, match="Invalid enum value 'off'"):
            modems.set("mobile-1", bearer="off")


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """The bus ends with the child that it belongs to."""
    modems = Modems.start(tmp_path, load_country())
    try:
        assert _is_running(tmp_path / "bus.conf")
    finally:
        modems.stop()
    while _is_running(tmp_path / "bus.conf"):
        time.sleep(0.01)  # the kernel kills it when its parent has ended


def test_a_folder_with_too_long_a_name_is_said(tmp_path: Path) -> None:
    """A socket's path is short; the lab's folder is the caller's choice."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(RuntimeError, match="cannot start the lab's modems_bus"):
        Modems.start(folder, load_country())


def _is_running(config: Path) -> bool:
    return any(str(config).encode() in _command(one) for one in Path("/proc").glob("[0-9]*"))


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""
