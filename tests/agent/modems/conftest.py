"""Two lines with modems on a private D-Bus, and a watch over them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from linewatch_agent import clock
from linewatch_agent.modems.watch import ModemWatch
from linewatch_agent.plan.line import Line
from linewatch_core.records import LineKind, Sample
from tests.lab.modems import Modems

FIXED = Line("fixed-1", LineKind.FIXED, "eth0", families=(4,))
ONE = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
TWO = Line("mobile-2", LineKind.MOBILE, "wwan1", families=(4,))
LINES = (FIXED, ONE, TWO)
HANGS_S = 2.0
"""What hangs here hangs for ever; the agent's own five seconds would only be waited out.

What does not hang must answer within it, also where the machine is busy.
"""


class Rounds:
    """A running watch, round by round; `samples` are those of the last round."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.watch = ModemWatch(
            on_sample=self.samples.append,
            is_busy=lambda line: line == TWO.id,
            timeout_s=HANGS_S,
        )
        self.round_ms = 1000

    async def round(self, *lines: Line) -> dict[str, Sample]:
        """Run a round (over all lines, unless told otherwise); return its samples by line."""
        self.samples.clear()
        self.round_ms += 30_000
        self.watch.begin_round(self.round_ms, lines or LINES)
        await self.ended()
        return {one.line: one for one in self.samples}

    async def ended(self) -> None:
        """Wait until every look that began has ended."""
        begun_ms = clock.mono_ms()
        while self.watch.safe_ms() <= begun_ms:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
def modems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modems]:
    """The modems of both mobile lines, on a bus that the agent takes for the system's."""
    with Modems.of_devices(tmp_path, {ONE.id: ONE.device, TWO.id: TWO.device}) as started:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", started.address)
        yield started


@pytest.fixture
async def rounds() -> AsyncIterator[Rounds]:
    """A watch that runs."""
    made = Rounds()
    task = asyncio.create_task(made.watch.run())
    yield made
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
