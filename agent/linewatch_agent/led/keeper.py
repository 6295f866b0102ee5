"""Keeps the light saying how the probe is, for as long as the agent runs.

Invariant: no LED, or one that can't be driven, is told once and never keeps the agent
from anything. When the agent ends, the light asks for help: nothing is measured then.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from linewatch_agent.led.meaning import Health, Signal, light_in_words, signal_of
from linewatch_agent.led.sysfs import LEDS, NONE, Led, find_led
from linewatch_agent.plan.settings import LedConfig

log = structlog.get_logger()

LOOK_S = 10.0
REFRESH_S = 30.0
"""How often a signal that stays is shown anew; a third of how long it runs by itself."""
HURRY_S = 0.5
PATIENCE = 6
"""So many tries in a hurry before a failure is told: udev needs a moment."""


class LedKeeper:
    """Looks at the probe's health every few seconds and shows it."""

    def __init__(
        self, config: LedConfig, health: Callable[[], Health], *, leds: Path = LEDS
    ) -> None:
        self._config = config
        self._health = health
        self._leds = leds
        self._problem: str | None = None
        self._signal = Signal.MEASURING
        self._name: str | None = None

    def described(self) -> dict[str, Any]:
        """Return for the status: the signal, what it means, why, and what keeps it from showing."""
        # As it is now: the light itself may be some seconds late.
        told = signal_of(self._health())
        return {
            "signal": told.signal.value,
            "means": light_in_words(told.signal, self._config.shows),
            "reasons": list(told.reasons),
            "led": self._name,
            "problem": self._problem,
        }

    async def run(self) -> None:
        """Show, for ever."""
        folder = find_led(self._config.name, self._leds)
        config = self._config
        led = None if folder is None else Led(folder, inverted=config.inverted, shows=config.shows)
        self._name = None if folder is None else folder.name
        if led is None and self._config.name != NONE:
            log.info("no_led_found", wanted=self._config.name)
        shown_s, failures = 0.0, 0
        loop = asyncio.get_running_loop()
        try:
            while True:
                signal = signal_of(self._health()).signal
                due = signal != self._signal or loop.time() - shown_s >= REFRESH_S
                self._signal = signal
                if led is not None and (due or shown_s == 0 or failures):
                    failures = 0 if self._shown(led, signal, failures) else failures + 1
                    shown_s = loop.time()
                await asyncio.sleep(HURRY_S if 0 < failures < PATIENCE else LOOK_S)
        finally:
            if led is not None:
                with contextlib.suppress(OSError):
                    led.show(Signal.HELP)

    def _shown(self, led: Led, signal: Signal, failures: int) -> bool:
        try:
            led.show(signal)
        except OSError as error:
            if failures + 1 == PATIENCE:
                self._problem = error.strerror
                log.warning("led_not_driven", led=self._name, reason=error.strerror)
            return False
        self._problem = None
        return True
