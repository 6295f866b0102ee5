"""The task that keeps the light: what it shows, when it gives up, and that it never fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from linewatch_agent.led import keeper as keeper_module
from linewatch_agent.led.keeper import LedKeeper
from linewatch_agent.led.meaning import Health, LineHealth
from linewatch_agent.led.sysfs import Led
from linewatch_agent.plan.settings import LedConfig, LedShows
from linewatch_core.records import LineKind
from tests.support.leds import KernelLed

WELL = Health((LineHealth("fixed-1", LineKind.FIXED, usable=True),))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(keeper_module, "LOOK_S", 0.01)
    monkeypatch.setattr(keeper_module, "HURRY_S", 0.001)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelLed:
    """Return an LED that every driver writes to."""
    made = KernelLed(tmp_path / "leds" / "ACT")
    monkeypatch.setattr(Led, "_put", lambda _, name, value: made.put(name, str(value)))
    return made


@asynccontextmanager
async def running(keeper: LedKeeper) -> AsyncIterator[None]:
    """Run it meanwhile."""
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], object]) -> None:
    """Wait for what must come true."""
    async with asyncio.timeout(120):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_the_light_follows_the_probes_health(tmp_path: Path, kernel: KernelLed) -> None:
    """And asks for help when the agent ends, however it is with the lines."""
    health = WELL
    keeper = LedKeeper(LedConfig(), lambda: health, leds=tmp_path / "leds")
    async with running(keeper):
        await until(lambda: kernel.chosen == "pattern")
        health = Health(store_problem="no space left")
        await until(lambda: kernel.chosen == "none")
        assert keeper.described()["reasons"][0] == "nothing can be stored: no space left"
        health = WELL
        await until(lambda: kernel.chosen == "pattern")
        assert keeper.described() == {
            "signal": "measuring",
            "means": "one short flash every two seconds: it is measuring",
            "reasons": [],
            "led": "ACT",
            "problem": None,
        }
    assert (kernel.chosen, kernel.read("brightness")) == ("none", "255")


async def test_a_signal_that_stays_is_shown_anew(
    tmp_path: Path, kernel: KernelLed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the pattern would end."""
    monkeypatch.setattr(keeper_module, "REFRESH_S", 0.02)
    async with running(LedKeeper(LedConfig(), lambda: WELL, leds=tmp_path / "leds")):
        await until(lambda: kernel.writes.count(("repeat", "45")) >= 4)
    assert sum(name == "pattern" for name, _ in kernel.writes) == 1


async def test_permission_that_comes_late_is_waited_for(tmp_path: Path, kernel: KernelLed) -> None:
    """Nothing is said of it: udev needs a moment."""
    kernel.refuses = {"repeat"}
    keeper = LedKeeper(LedConfig(), lambda: WELL, leds=tmp_path / "leds")
    with structlog.testing.capture_logs() as logs:
        async with running(keeper):
            await until(lambda: kernel.chosen == "pattern")
            kernel.refuses = set()
            await until(lambda: kernel.read("pattern"))
    assert [entry["event"] for entry in logs] == []


async def test_an_led_that_cannot_be_driven_is_told_once(tmp_path: Path, kernel: KernelLed) -> None:
    """The agent goes on, and the status says why the light doesn't."""
    kernel.refuses = {"trigger"}
    keeper = LedKeeper(LedConfig(), lambda: WELL, leds=tmp_path / "leds")
    with structlog.testing.capture_logs() as logs:
        async with running(keeper):
            await until(lambda: keeper.described()["problem"])
            await asyncio.sleep(0.1)
            assert keeper.described()["problem"] == "Permission denied"
            kernel.refuses = set()
            await until(lambda: keeper.described()["problem"] is None)
    assert [entry["event"] for entry in logs] == ["led_not_driven"]


@pytest.mark.parametrize(("name", "events"), [("auto", ["no_led_found"]), ("none", [])])
async def test_no_led_is_told_once_and_the_signal_is_known_all_the_same(
    tmp_path: Path, name: str, events: list[str]
) -> None:
    """Unless none is wanted."""
    keeper = LedKeeper(LedConfig(name=name), Health, leds=tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with running(keeper):
            await asyncio.sleep(0.05)
            assert keeper.described()["signal"] == "help"
    assert [entry["event"] for entry in logs] == events
    assert keeper.described()["led"] is None


@pytest.mark.parametrize(("shows", "ends"), [("help", 255), ("nothing", 0)])
async def test_a_light_that_is_kept_dark(
    tmp_path: Path, kernel: KernelLed, shows: LedShows, ends: int
) -> None:
    """It is dark for as long as it is shown anew, and its words say so; then as it was wanted."""
    keeper = LedKeeper(LedConfig(shows=shows), lambda: WELL, leds=tmp_path / "leds")
    async with running(keeper):
        await until(lambda: kernel.writes)
        assert keeper.described()["means"] == "dark, as led.shows says: it is measuring"
        if kernel.chosen == "pattern":
            await until(lambda: kernel.read("pattern"))
            assert {kernel.light_at(ms) for ms in range(0, 60_000, 50)} == {0}
            assert kernel.light_at(90_000) == 255
    assert (kernel.chosen, kernel.read("brightness")) == ("none", str(ends))
