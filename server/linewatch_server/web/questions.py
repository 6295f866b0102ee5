"""What the pages ask of the index: `index.queries.Queries` answers it.

A protocol, so that pages depend on answers and not on SQL. All methods block
and may run in any thread: handlers call them outside the event loop.
"""

from collections.abc import Iterator
from typing import Protocol

from linewatch_core.ids import ProbeId
from linewatch_server.model.clock import ProbeClock
from linewatch_server.model.quarantine import OpenedQuarantine, QuarantinedView
from linewatch_server.model.strips import Strips
from linewatch_server.model.views import EventsView, LineView, ProbeView, SampleRow, TargetView


class Questions(Protocol):
    """Read-only questions on what is stored; times are Unix ms of UTC."""

    def fleet(self) -> tuple[ProbeView, ...]:
        """Return every probe."""
        ...

    def clock(self, probe: ProbeId) -> ProbeClock:
        """Return what places a probe's records in UTC."""
        ...

    def lines(self, probe: ProbeId) -> tuple[LineView, ...]:
        """Return a probe's lines; none for a probe that is not known."""
        ...

    def strips(
        self, from_ms: int, to_ms: int, cell_ms: int, *, probe: ProbeId | None = None
    ) -> Strips:
        """Return strips over [from_ms, to_ms), or raise LimitError if the cells are too fine."""
        ...

    def targets(
        self, probe: ProbeId, line: str, from_ms: int, to_ms: int
    ) -> tuple[TargetView, ...]:
        """Return what each check of each target gave, in whole five-minute windows."""
        ...

    def events(self, from_ms: int, to_ms: int, *, probe: ProbeId | None = None) -> EventsView:
        """Return what can have happened in [from_ms, to_ms]."""
        ...

    def samples(
        self, probe: ProbeId, line: str | None, from_ms: int, to_ms: int
    ) -> Iterator[SampleRow]:
        """Yield the samples that can lie in [from_ms, to_ms], in order of time."""
        ...

    def quarantined(
        self, probe: ProbeId, *, newest: int | None = None
    ) -> tuple[QuarantinedView, ...]:
        """Return what is kept of a probe and not believed, as it arrived; or only the newest."""
        ...

    def opened_quarantine(self, probe: ProbeId) -> Iterator[OpenedQuarantine]:
        """Yield the same with its records."""
        ...
