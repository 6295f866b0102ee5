"""Restorations: the server can be reached again, and what the probe kept begins to arrive.

Pure: is told what the probe committed and what the server has, moment by moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from tests.lab.scenario import Fault, Scenario

REACHES = frozenset({"ok", "throttled"})
"""States of a line over which the server, which is abroad, can be reached."""
AWAY = frozenset({Fault.BROKER_DOWN, Fault.COLLECTOR_DOWN, Fault.POWER_CUT})
SUMMARIES = (Stream.EV, Stream.ROLL)


@dataclass(slots=True)
class Restoration:
    """One restoration; moments are seconds of the run, None where it did not come to that.

    Attributes:
        at_s: its moment in the scenario.
        backlog: records that the probe had then and the server had not.
        summary_s: when the server had more events or five-minute counts than before.
        complete_s: when it had all that the probe had at the restoration.
    """

    at_s: float
    run_s: float
    backlog: int
    through: dict[Stream, int]
    summaries: int
    summary_s: float | None = None
    complete_s: float | None = None


def restored_at(scenario: Scenario) -> Iterator[float]:
    """Yield the moments of a scenario at which the server can be reached after it could not."""
    before = True
    for at_s in scenario.changes_s()[:-1]:
        now = _reachable(scenario, at_s)
        if now and not before:
            yield at_s
        before = now


class Restorations:
    """Watches those of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self._coming = list(restored_at(scenario))
        self.found: list[Restoration] = []

    def changed(
        self,
        at_s: float,
        run_s: float,
        committed: Mapping[Stream, int],
        stored: Mapping[Stream, SeqSet],
    ) -> None:
        """Take in that the scenario's changes of moment `at_s` are made."""
        if not self._coming or self._coming[0] > at_s:
            return
        self._coming.pop(0)
        backlog = sum(committed[stream] - _upto(stored, committed, stream) for stream in Stream)
        self.found.append(Restoration(at_s, run_s, backlog, dict(committed), _summaries(stored)))

    def look(self, run_s: float, stored: Mapping[Stream, SeqSet]) -> None:
        """Take in what the server has now."""
        for one in self.found:
            if one.summary_s is None and _summaries(stored) > one.summaries:
                one.summary_s = run_s
            if one.complete_s is None and all(
                not last or stored[stream].covers(1, last) for stream, last in one.through.items()
            ):
                one.complete_s = run_s


def _reachable(scenario: Scenario, at_s: float) -> bool:
    away = any(e.what in AWAY and e.begins_s <= at_s < e.ends_s for e in scenario.events)
    return not away and any(
        truth.target is None and truth.state in REACHES and truth.begins_s <= at_s < truth.ends_s
        for truth in scenario.truth
    )


def _upto(stored: Mapping[Stream, SeqSet], committed: Mapping[Stream, int], stream: Stream) -> int:
    return min(stored[stream].count(), committed[stream])


def _summaries(stored: Mapping[Stream, SeqSet]) -> int:
    return sum(stored[stream].count() for stream in SUMMARIES)
