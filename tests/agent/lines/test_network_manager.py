"""Each line's own name servers from NetworkManager's objects on a real, private D-Bus."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from linewatch_agent import clock
from linewatch_agent.lines import NameServers, find_lines_once, given_to
from linewatch_agent.lines.facts import DefaultRoute, Device, Facts
from linewatch_agent.lines.ids import LineIds
from linewatch_agent.lines.network_manager import FIELDS, FRESH_S
from linewatch_agent.plan.line import Given, Line
from linewatch_agent.plan.settings import Config
from linewatch_agent.watcher import LineWatcher
from linewatch_core.records import LineKind
from tests.support.network_manager import FakeNetworkManager, network_manager
from tests.support.private_bus import system_like_bus

FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4, 6), gateways={4: "192.0.2.1"})
MOBILE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
LINES = [FIXED, MOBILE]
SERVERS = {"eth0": ("192.0.2.53", "2001:db8::53"), "wwan0": ("10.64.0.53",)}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bus that the agent takes for the system's."""
    with system_like_bus(open_to_all=True) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
async def manager(bus: str) -> AsyncIterator[FakeNetworkManager]:
    """NetworkManager with a fixed and a mobile line."""
    async with network_manager() as manager:
        manager.manage("eth0", ip4=("192.0.2.53",), ip6=("2001:db8::53",))
        manager.manage("wwan0", ip4=("10.64.0.53",))
        yield manager


async def test_each_line_has_its_own_servers(manager: FakeNetworkManager) -> None:
    """Of both families; a device that it does not manage, or that got none, has none."""
    manager.manage("usb0")
    lines = [*LINES, Line("mobile-2", LineKind.MOBILE, "usb0"), Line("x", LineKind.FIXED, "eth9")]
    assert await NameServers().about(lines) == SERVERS


async def test_nothing_else_is_read(manager: FakeNetworkManager) -> None:
    """One property at a time, of the list."""
    await NameServers().about(LINES)
    reads = {tuple(call[2:]) for call in manager.asked if call[1] == "Get"}
    assert reads == FIELDS
    assert {call[1] for call in manager.asked} == {"Get", "GetDeviceByIpIface"}


async def test_it_is_asked_once_a_minute_or_when_lines_change(
    manager: FakeNetworkManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines are looked for every ten seconds."""
    now_s = 100.0
    monkeypatch.setattr(clock, "mono_s", lambda: now_s)
    servers = NameServers()
    asked = []
    for lines, at_s in (
        (LINES, 100.0),
        (LINES, 100.0 + FRESH_S - 1),
        (LINES[::-1], 100.0 + FRESH_S - 1),
        ([FIXED, Line("mobile-1", LineKind.MOBILE, "wwan0")], 100.0 + FRESH_S - 1),
        ([FIXED, Line("mobile-1", LineKind.MOBILE, "wwan0")], 100.0 + 3 * FRESH_S),
    ):
        now_s = at_s
        manager.asked.clear()
        assert await servers.about(lines) == SERVERS
        asked.append(bool(manager.asked))
    assert asked == [True, False, False, True, True]


async def test_with_one_line_it_is_not_asked(manager: FakeNetworkManager) -> None:
    """The machine's list is that line's."""
    assert await NameServers().about([FIXED]) == {}
    assert manager.asked == []


async def test_one_that_hangs_holds_nothing_up(manager: FakeNetworkManager) -> None:
    """What it said before still holds; that it hangs is logged once."""
    servers = NameServers(limit_s=2.0)
    assert await servers.about(LINES) == SERVERS
    manager.hung = True
    with capture_logs() as logs:
        for metric in range(2):
            changed = Line("mobile-1", LineKind.MOBILE, "wwan0", gateways={4: f"10.0.0.{metric}"})
            assert await servers.about([FIXED, changed]) == SERVERS
    assert [log["reason"] for log in logs] == ["NetworkManager does not answer"]


async def test_where_it_does_not_run_nothing_is_said(bus: str) -> None:
    """And nothing is logged: many machines do without."""
    with capture_logs() as logs:
        assert await NameServers().about(LINES) == {}
    assert logs == []


async def test_a_bus_that_takes_no_connection_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's list has to do then."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with capture_logs() as logs:
        assert await NameServers().about(LINES) == {}
    assert logs[0]["reason"].startswith("the system bus takes no connection")


def test_a_session_s_servers_count_where_nobody_else_tells() -> None:
    """NetworkManager's word first; the MTU is the modem's to tell."""
    sessions = {"wwan0": Given(("203.0.113.53",), 1430), "wwan1": Given(("203.0.113.54",), 1400)}
    assert given_to(SERVERS, sessions) == {
        "eth0": Given(SERVERS["eth0"]),
        "wwan0": Given(SERVERS["wwan0"], 1430),
        "wwan1": sessions["wwan1"],
    }


def machine_s_facts() -> Facts:
    """Return two lines and a list of servers that mixes them."""
    eth = Device("eth0", (ip_interface("192.0.2.10/24"), ip_interface("2001:db8::9/64")), mtu=1500)
    wwan = Device("wwan0", (ip_interface("10.64.0.7/30"),), kernel_type="wwan", mtu=1500)
    routes = (
        DefaultRoute("eth0", 4, "192.0.2.1", 100),
        DefaultRoute("eth0", 6, "fe80::1", 100),
        DefaultRoute("wwan0", 4, None, 700),
    )
    return Facts((eth, wwan), routes, ("198.51.100.53",))


async def test_lines_get_them_at_the_first_look(
    manager: FakeNetworkManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher's, and that of `linewatch-agent lines`; with what the session's MTU means."""
    monkeypatch.setattr("linewatch_agent.lines.read_facts", machine_s_facts)
    once = await find_lines_once(Config(), LineIds())
    assert [line.resolvers for line in once] == [SERVERS["eth0"], SERVERS["wwan0"]]
    handed: list[list[Line]] = []

    async def take(lines: object) -> None:
        handed.append(list(lines))  # type: ignore[call-overload]

    watcher = LineWatcher(
        Config(),
        tmp_path,
        on_lines=take,
        on_change=lambda _: None,
        sessions=lambda: {"wwan0": Given(("203.0.113.53",), 1430)},
    )
    await watcher.look()
    ((fixed, mobile),) = handed
    assert [fixed.resolvers, mobile.resolvers] == [SERVERS["eth0"], SERVERS["wwan0"]]
    assert [problem.code for problem in mobile.problems] == ["mtu_too_long"]


@pytest.mark.parametrize("lines", [1, 3])
def test_dbus_fast_is_imported_only_where_it_is_asked(lines: int) -> None:
    """One line, or no NetworkManager: the memory is saved."""
    code = (
        "import asyncio, pathlib, sys; from linewatch_agent.lines import network_manager; "
        "from linewatch_agent.plan.line import Line; from linewatch_core.records import LineKind; "
        "network_manager._FOLDER = pathlib.Path('/nonexistent'); "
        f"lines = [Line(f'fixed-{{n}}', LineKind.FIXED, f'eth{{n}}') for n in range({lines})]; "
        "asyncio.run(network_manager.NameServers().about(lines)); print('dbus_fast' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name != "DBUS_SYSTEM_BUS_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=env,
    )
    assert done.stdout.strip() == "False"
