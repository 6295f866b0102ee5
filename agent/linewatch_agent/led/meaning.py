"""What the light must say now: from how the lines and the store are to one of three signals.

Pure. Invariant: what only the network does, a shutdown above all, never asks the
volunteer for help; it is what the probe is there to measure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from linewatch_agent.plan.settings import LedShows
from linewatch_core.records import LineKind


class Signal(StrEnum):
    """What the light says; the words of people are in `MEANS`."""

    MEASURING = "measuring"
    LINE_MISSING = "line_missing"
    HELP = "help"


MEANS = {
    Signal.MEASURING: "one short flash every two seconds: it is measuring",
    Signal.LINE_MISSING: "two flashes, a pause: it is measuring, but a line is missing",
    Signal.HELP: "steady: it needs help",
}


def light_in_words(signal: Signal, shows: LedShows) -> str:
    """Return how the light is and what that means, where it may be kept dark."""
    if shows == "nothing" or (shows == "help" and signal is not Signal.HELP):
        return f"dark, as led.shows says: {MEANS[signal].partition(': ')[2]}"
    return MEANS[signal]


@dataclass(frozen=True, slots=True)
class LineHealth:
    """One line, as far as its owner can do something about it.

    Attributes:
        usable: nothing in this home keeps it from being measured.
        worked: it was usable before, since the agent started.
        modem_ready: its modem answers and has an open SIM: whatever is wrong is the network's.
    """

    id: str
    kind: LineKind
    usable: bool
    worked: bool = False
    modem_ready: bool = False

    @property
    def well(self) -> bool:
        """Whether the volunteer can do nothing for it."""
        return self.usable or self.modem_ready


@dataclass(frozen=True, slots=True)
class Health:
    """What decides the signal.

    Attributes:
        lines: those found now, and those that went since the agent started.
        kinds_known: kinds of all lines that this probe ever had.
        late: no round began for much longer than a round takes.
        store_problem: why the store takes nothing, in words, if so.
    """

    lines: tuple[LineHealth, ...] = ()
    kinds_known: frozenset[LineKind] = frozenset()
    late: bool = False
    store_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A signal, and why it isn't a better one: one phrase each."""

    signal: Signal
    reasons: tuple[str, ...] = ()


def signal_of(health: Health) -> Told:
    """Return what the light must say."""
    help_for = tuple(_needs_help(health))
    if help_for:
        return Told(Signal.HELP, help_for)
    missing = tuple(f"{name} is missing" for name in _missing(health))
    if missing:
        return Told(Signal.LINE_MISSING, missing)
    return Told(Signal.MEASURING)


def _needs_help(health: Health) -> Iterator[str]:
    if health.store_problem is not None:
        yield f"nothing can be stored: {health.store_problem}"
    if not any(line.well for line in health.lines):
        yield "no line can be measured"
    elif health.late:
        yield "nothing is being measured"


def _missing(health: Health) -> Iterator[str]:
    """Yield the ids of lines that somebody should see to, or the kind of which none is left.

    A socket that nothing was ever plugged into is no line that is missing, as long as
    another line of its kind is there: every Pi has such a socket. A stick that was moved to
    another port has a new id, so ids of old are not missed, only their kind.
    """
    well = {line.kind for line in health.lines if line.well}
    for line in health.lines:
        if not line.well and (line.worked or line.kind is LineKind.MOBILE or line.kind not in well):
            yield line.id
    present = {line.kind for line in health.lines}
    yield from (f"the {kind} line" for kind in sorted(health.kinds_known - present))


def kinds_of(ids: Iterable[str]) -> frozenset[LineKind]:
    """Return the kinds in ids that this probe gave, such as `mobile-1`; others are passed over."""
    names = {name.rpartition("-")[0] for name in ids}
    return frozenset(kind for kind in LineKind if kind.value in names)
