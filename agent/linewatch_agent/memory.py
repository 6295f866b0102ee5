"""What the agent's parts keep over a restart: data ledgers, truth, resets of modems.

Written in the store's own file, on the store's thread. A full disk keeps what it had.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from linewatch_agent import clock
from linewatch_agent.store.database import StoreFullError

if TYPE_CHECKING:
    from linewatch_agent.app import Agent

log = structlog.get_logger()

LEDGERS = "ledgers"
"""The name under which the store keeps what each line has spent."""
WRITE_S = 600.0
"""A power cut forgets at most this much of it."""
MODEM_RESETS = "modem_resets"
"""The name under which the store keeps what was done to modems in the last day."""
TRUTH = "truth"
"""The name under which the store keeps the networks of targets."""


class Memory:
    """Writes down what is to outlive the process."""

    def __init__(self, agent: "Agent") -> None:
        """Belong to an agent, whose other parts may be built later."""
        self._agent = agent
        self._truth: bytes | None = None

    async def run(self) -> None:
        """Write ledgers and truth down now and then, for ever."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Write down the data ledgers, and the truth if it is another one than written last."""
        agent = self._agent
        # Taken here: these are the event loop's, not the store's thread's.
        ledgers = agent.meter.export()
        truth = agent.truth.export(clock.mono_ms(), agent.timekeeper.utc())
        try:
            await self._remember(LEDGERS, ledgers)
            if truth != self._truth:
                await self._remember(TRUTH, truth)
                self._truth = truth
        except StoreFullError as error:
            log.warning("ledgers_not_kept", reason=str(error))

    async def keep_resets(self, resets: bytes) -> None:
        """Keep what was done to modems."""
        await self._remember(MODEM_RESETS, resets)

    async def _remember(self, name: str, value: bytes) -> None:
        kept = self._agent.store.kept
        await self._agent.writer.run(lambda: kept.remember(name, value))
