"""A scenario: when which knob turns, and what each line's state truly is, from when to when.

Pure values; times are seconds since the scenario's start. Truth is whole: every
moment of every line has a state. Whoever runs a scenario compares verdicts with
it. How one is written is in scenario_file.py.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from linewatch_core.records import LineKind
from tests.lab.knobs import Knob, Options


class Fault(StrEnum):
    """What happens to the probe or the server, not to a line; the runner does it."""

    POWER_CUT = "power_cut"
    FULL_DISK = "full_disk"
    READ_ONLY_DISK = "read_only_disk"
    CLOCK_1970 = "clock_1970"
    CLOCK_AHEAD = "clock_ahead"
    BROKER_DOWN = "broker_down"
    BROKER_WIPED = "broker_wiped"
    COLLECTOR_DOWN = "collector_down"
    SERVER_RESTORED = "server_restored"
    MODEM_GONE = "modem_gone"
    MODEM_HUNG = "modem_hung"
    RADIO_LOST = "radio_lost"


@dataclass(frozen=True, slots=True)
class Event:
    """A knob on lines, or a fault, from `begins_s` to `ends_s`.

    `label` keeps two events of one knob apart (see Country.apply).
    """

    begins_s: float
    ends_s: float
    what: Knob | Fault
    operator: str | None
    kind: LineKind | None
    options: Options
    label: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What a line (or, with `target`, a target on it) is from `begins_s` to `ends_s`."""

    line: str
    target: str | None
    begins_s: float
    ends_s: float
    state: str
    without_modem: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario.

    Attributes:
        length_s: from start to end.
        events: by start.
        truth: per line a partition of the whole length; per target the stretches told.
        suspected_shutdown: whether the server may, and must, say so.
        probes: how many probes it takes to tell (beyond 1 only in simulation).
    """

    name: str
    about: str
    begins: datetime
    length_s: float
    events: tuple[Event, ...]
    truth: tuple[Truth, ...]
    suspected_shutdown: bool = False
    probes: int = 1

    def changes_s(self) -> tuple[float, ...]:
        """Return every moment at which anything changes, its start and end among them."""
        spans: list[Event | Truth] = [*self.events, *self.truth]
        moments = {moment for span in spans for moment in (span.begins_s, span.ends_s)}
        return tuple(sorted({0.0, self.length_s, *moments}))

    def truth_of(self, line: str, target: str | None = None) -> tuple[Truth, ...]:
        """Return what is told of a line, or of a target on it, by start."""
        found = (each for each in self.truth if (each.line, each.target) == (line, target))
        return tuple(sorted(found, key=lambda each: each.begins_s))
