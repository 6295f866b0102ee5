"""A scenario's course for one probe: when it has power, and what its clock is worth when.

Pure. Times are seconds of the scenario.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.lab.knobs import Options
from tests.lab.scenario import Event, Fault, Scenario
from tests.sim.effects import WRONG_CLOCKS

UPTIME_S = (60.0, 90.0)
"""How long the probe has been up when the scenario begins: rounds sit on a grid of boot time,
and so a change may come at any point of a round."""
BOOT_S = 20.0
"""From power to the agent's start."""
SYNC_S = 45.0
"""From the agent's start until the clock is right: there is no battery behind it."""


class Clock(StrEnum):
    """What the kernel says of its clock: `lying` is disciplined to a time ten years ahead."""

    RIGHT = "right"
    UNSYNCED = "unsynced"
    LYING = "lying"


@dataclass(frozen=True, slots=True)
class Run:
    """One boot: its kernel starts, its agent runs from `begins_s` until `ends_s`.

    Attributes:
        killed: the power goes then; else the scenario ends.
    """

    kernel_s: float
    begins_s: float
    ends_s: float
    killed: bool


def runs(scenario: Scenario, rng: random.Random) -> tuple[Run, ...]:
    """Return the boots of a probe, in order."""
    found, kernel_s, begins_s = [], -round(rng.uniform(*UPTIME_S), 3), 0.0
    for cut in _power_cuts(scenario):
        found.append(Run(kernel_s, begins_s, cut.begins_s, killed=True))
        kernel_s, begins_s = cut.ends_s, cut.ends_s + BOOT_S
    return (*found, Run(kernel_s, begins_s, scenario.length_s, killed=False))


def events(scenario: Scenario) -> tuple[Event, ...]:
    """Return a scenario's events, and the wrong clock after each power cut."""
    clocks = [
        Event(cut.ends_s, min(cut.ends_s + BOOT_S + SYNC_S, scenario.length_s),
              Fault.CLOCK_1970, None, None, Options(), f"boot-{number}")
        for number, cut in enumerate(_power_cuts(scenario))
    ]  # fmt: skip
    return (*scenario.events, *clocks)


def clock_at(all_events: Sequence[Event], moment_s: float) -> Clock:
    """Return what the kernel says of its clock."""
    wrong = {
        event.what
        for event in all_events
        if event.what in WRONG_CLOCKS and event.begins_s <= moment_s < event.ends_s
    }
    if Fault.CLOCK_1970 in wrong:
        return Clock.UNSYNCED
    return Clock.LYING if wrong else Clock.RIGHT


def _power_cuts(scenario: Scenario) -> list[Event]:
    return [event for event in scenario.events if event.what is Fault.POWER_CUT]
