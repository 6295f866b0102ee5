"""Drives one LED through its files below /sys/class/leds.

Knows no meaning. The files of a trigger come to be when the trigger is chosen, owned by
root until udev has seen to them (systemd/90-linewatch-led.rules): a PermissionError right
after that is a matter of waiting. Source: the kernel's Documentation/leds/leds-class.rst.
"""

import os
from pathlib import Path
from typing import assert_never

from linewatch_agent.led.meaning import Signal
from linewatch_agent.led.patterns import DoubleFlash, Look, Pattern, Steady, Timer, look_of
from linewatch_agent.plan.settings import LedShows

LEDS = Path("/sys/class/leds")
AUTOMATIC = "auto"
NONE = "none"
_USUAL = ("ACT", "led0")
"""What a Raspberry Pi's green LED is called: by present kernels, and by those before 6.1."""


def find_led(name: str, leds: Path = LEDS) -> Path | None:
    """Return the folder of the LED called `name`, or None if there is no such.

    Args:
        name: as below /sys/class/leds; `auto`: a Raspberry Pi's; `none`: none is wanted.
    """
    if name == NONE:
        return None
    candidates = _USUAL if name == AUTOMATIC else (name,)
    return next((leds / each for each in candidates if (leds / each / "trigger").exists()), None)


class Led:
    """One LED; `show` writes to it what is not shown already."""

    def __init__(self, folder: Path, *, inverted: bool, shows: LedShows = "all") -> None:
        self._folder = folder
        self._inverted = inverted
        self._shows = shows
        self._shown: Look | None = None

    def show(self, signal: Signal) -> None:
        """Show a signal; again and again, for a pattern ends by itself.

        Raises:
            OSError: a file can't be read or written; what is shown then is uncertain.
        """
        current, available = self._triggers()
        look = look_of(
            signal,
            patterns="pattern" in available,
            brightest=self._brightest(),
            inverted=self._inverted,
            shows=self._shows,
        )
        before, self._shown = self._shown, None
        self._write(look, current, news=look != before)
        self._shown = look

    def _write(self, look: Look, current: str, *, news: bool) -> None:
        match look:
            case Steady():
                self._choose("none", current)
                self._put("brightness", look.brightness)
            case Pattern():
                self._choose("pattern", current)
                # First: this starts the pattern that is there anew, and only counts for one
                # that is written after it.
                self._put("repeat", look.repeat)
                if news or current != "pattern":
                    self._put("pattern", look.text())
            case Timer():
                self._choose("timer", current)
                if news or current != "timer":
                    self._put("delay_on", look.on_ms)
                    self._put("delay_off", look.off_ms)
            case DoubleFlash():
                self._choose("heartbeat", current)
                if look.invert:
                    self._put("invert", 1)
            case _:
                assert_never(look)

    def _triggers(self) -> tuple[str, frozenset[str]]:
        """Return the trigger in force, and all that there are."""
        words = (self._folder / "trigger").read_text().split()
        current = next((word.strip("[]") for word in words if word.startswith("[")), "")
        return current, frozenset(word.strip("[]") for word in words)

    def _brightest(self) -> int:
        try:
            return max(1, int((self._folder / "max_brightness").read_text()))
        except ValueError:
            return 1

    def _choose(self, trigger: str, current: str) -> None:
        # Choosing the one in force anew would take its files away from us.
        if trigger != current:
            self._put("trigger", trigger)

    def _put(self, name: str, value: int | str) -> None:
        # Without O_CREAT: a file that the kernel does not have is an error, never a new file.
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{value}\n".encode())
        finally:
            os.close(descriptor)
