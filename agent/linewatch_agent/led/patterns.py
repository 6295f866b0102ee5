"""How each signal looks: the flashes, for the kernel's LED triggers.

Pure. With the trigger `pattern` a signal runs for a while only and then ends with the
light on: should the agent die, the kernel itself says "help". Without that trigger
`timer` and the kernel's own `heartbeat`, which is a double flash, look alike but have no
such end; then the unit's ExecStopPost is what turns the light to steady.
Source: the kernel's Documentation/ABI/testing/sysfs-class-led-trigger-pattern, and
drivers/leds/trigger/ledtrig-pattern.c.
"""

from dataclasses import dataclass

from linewatch_agent.led.meaning import Signal
from linewatch_agent.plan.settings import LedShows

LASTS_S = 90.0
"""How long a signal runs that is not shown again: the unit's watchdog has the same patience."""

FLASH_MS = 100
_PAUSE_MS = 1900
_BETWEEN_MS = 200

DARK_MS = {
    Signal.MEASURING: (_PAUSE_MS,),
    Signal.LINE_MISSING: (_PAUSE_MS, _BETWEEN_MS),
}
"""The dark times, each followed by a flash: so the light is on when the pattern ends."""
DARK_UNTIL_MS = (round(1000 * LASTS_S) - FLASH_MS,)
"""Of a light that is to be dark while all is well: it, too, is on when the pattern ends."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The light stays as it is: `brightness` of the LED's own scale."""

    brightness: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """For the trigger `pattern`: pairs of brightness and ms, run `repeat` times."""

    steps: tuple[tuple[int, int], ...]
    repeat: int

    def text(self) -> str:
        """Return what the file `pattern` takes."""
        return " ".join(f"{brightness} {ms}" for brightness, ms in self.steps)


@dataclass(frozen=True, slots=True)
class Timer:
    """For the trigger `timer`: how long the light is on and off."""

    on_ms: int
    off_ms: int


@dataclass(frozen=True, slots=True)
class DoubleFlash:
    """For the trigger `heartbeat`: two flashes and a pause; `invert` as its file of that name."""

    invert: bool


Look = Steady | Pattern | Timer | DoubleFlash


def look_of(
    signal: Signal, *, patterns: bool, brightest: int, inverted: bool, shows: LedShows = "all"
) -> Look:
    """Return how a signal is shown.

    Args:
        patterns: the kernel has the trigger `pattern`.
        brightest: the LED's full brightness, 1 to 255.
        inverted: the LED is lit by 0, as where its wiring is not known to the kernel.
        shows: which signals it may show at all.
    """
    on, off = (0, brightest) if inverted else (brightest, 0)
    if shows == "nothing":
        return Steady(off)
    if signal is Signal.HELP:
        return Steady(on)
    if shows == "help":
        return _pattern(DARK_UNTIL_MS, on, off) if patterns else Steady(off)
    if patterns:
        return _pattern(DARK_MS[signal], on, off)
    if signal is Signal.LINE_MISSING:
        return DoubleFlash(inverted)
    lit, dark = FLASH_MS, _PAUSE_MS
    return Timer(dark, lit) if inverted else Timer(lit, dark)


def _pattern(dark_ms: tuple[int, ...], on: int, off: int) -> Pattern:
    # A step of no length after each one makes the change sudden: the kernel dims otherwise.
    steps = [step for ms in dark_ms for step in ((off, ms), (off, 0), (on, FLASH_MS), (on, 0))]
    turn_ms = sum(ms for _, ms in steps)
    return Pattern(tuple(steps), max(1, round(1000 * LASTS_S / turn_ms)))
