"""What pages, exports and alerts may ask of the index; answers are values of model/views.py.

Reads only, each question on one consistent snapshot, and from any thread.
Nothing is re-dated in place: every answer is placed in UTC as it is asked, so
that an anchor which came yesterday narrows what was stored last month.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import TypeAlias

from linewatch_core.errors import LimitError
from linewatch_core.ids import ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import ROLL_WINDOW_MS, UNCOUNTED, LineKind
from linewatch_core.timebase import Interval
from linewatch_server.archive.reader import Archive
from linewatch_server.index import reads
from linewatch_server.index.contents import tally_of_row
from linewatch_server.index.database import INDEX_NAME, snapshot
from linewatch_server.index.events import events_of, lines_of, placed_gaps
from linewatch_server.index.opening import Opener
from linewatch_server.index.quarantine import open_quarantined, quarantined_views
from linewatch_server.index.reads import RawSegment
from linewatch_server.index.samples import SampleReader
from linewatch_server.model.clock import MonoRange, ProbeClock
from linewatch_server.model.quarantine import OpenedQuarantine, QuarantinedView
from linewatch_server.model.rollup import Tally, fuller
from linewatch_server.model.strips import (
    Counted,
    PlacedGap,
    Strips,
    build_strips,
    cell_bounds,
    is_uncertain,
)
from linewatch_server.model.target_views import target_views
from linewatch_server.model.views import (
    EventsView,
    LineView,
    ProbeView,
    SampleRow,
    StreamView,
    TargetView,
)
from linewatch_server.model.windows import runs

FINE_CELL_MS = 2 * ROLL_WINDOW_MS
"""Cells below this are counted from samples: a five-minute window would leave some empty."""
FINE_SAMPLES_MAX = 200_000
"""How many samples one drawing may open: about six seconds of one core, by tests/bench."""


_ToOpen: TypeAlias = tuple[ProbeId, ProbeClock, MonoRange, list[RawSegment]]


class Queries:
    """Answers questions on DIR's index; keeps nothing open between them."""

    def __init__(self, directory: Path, *, recipient_secrets: Sequence[bytes] = ()) -> None:
        """Take DIR and the keys to open samples with; without one, what needs samples is empty."""
        self._path = directory / INDEX_NAME
        self._archive, self._opener = Archive(directory), Opener(recipient_secrets)
        self._samples = SampleReader(self._archive, self._opener)

    def fleet(self) -> tuple[ProbeView, ...]:
        """Return every probe with what is stored of it and what is missing."""
        with snapshot(self._path) as db:
            return tuple(_probe_view(db, probe) for probe in reads.probes(db))

    def clock(self, probe: ProbeId) -> ProbeClock:
        """Return what places a probe's records in UTC."""
        with snapshot(self._path) as db:
            return reads.clock(db, probe)

    def lines(self, probe: ProbeId) -> tuple[LineView, ...]:
        """Return the lines of a probe as it last described them."""
        with snapshot(self._path) as db:
            return lines_of(db, probe)

    def strips(
        self, from_ms: int, to_ms: int, cell_ms: int, *, probe: ProbeId | None = None
    ) -> Strips:
        """Return one row a line, one cell a stretch of `cell_ms`, over [from_ms, to_ms) of UTC.

        Cells of ten minutes or more are counted from the roll-ups; finer ones from
        samples, opened now. Neither a line's own gateway nor its modem counts: they
        answer though all behind them is dead. All probes, unless one is named.

        Raises:
            LimitError: too many cells, or too many samples to open for cells this fine.
            ValueError: the range is empty (a caller's bug).
        """
        bounds = cell_bounds(from_ms, to_ms, cell_ms)
        fine = cell_ms < FINE_CELL_MS
        lines: list[tuple[ProbeId, str, LineKind | None]] = []
        operators: dict[tuple[ProbeId, str], str | None] = {}
        counted: list[Counted] = []
        gaps: list[PlacedGap] = []
        to_open: list[_ToOpen] = []
        gateways: dict[ProbeId, frozenset[str]] = {}
        with snapshot(self._path) as db:
            for one in reads.probes(db) if probe is None else [probe]:
                gateways[one] = reads.gateways(db, one)
                clock = reads.clock(db, one)
                described = lines_of(db, one, clock=clock)
                lines += [(one, view.line, view.kind) for view in described]
                operators |= {(one, view.line): view.operator for view in described}
                gaps += placed_gaps(db, one, clock)
                for reach in clock.ranges(from_ms, to_ms - 1):
                    if fine:
                        to_open.append((one, clock, reach, reads.raw_segments(db, one, reach)))
                    else:
                        counted += _counted_windows(
                            db, one, clock, reach, bounds=bounds, cell_ms=cell_ms
                        )
        _check_samples(to_open)
        for item in to_open:
            counted += self._counted_samples(*item, uncounted=gateways[item[0]])
        return build_strips(
            lines,
            counted,
            gaps,
            bounds=bounds,
            cell_ms=cell_ms,
            from_raw=fine,
            operators=operators,
        )

    def targets(
        self, probe: ProbeId, line: str, from_ms: int, to_ms: int
    ) -> tuple[TargetView, ...]:
        """Return what each check of each target gave on a line in [from_ms, to_ms) of UTC.

        Whole five-minute windows count, by the middle of where they are placed;
        for each, the fuller of the raw samples and the probe's own roll records.
        """
        parts: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
        uncertain: Counter[tuple[str, str]] = Counter()
        with snapshot(self._path) as db:
            clock, roles = reads.clock(db, probe), reads.roles(db, probe)
            for reach in clock.ranges(from_ms, to_ms - 1):
                for (window, *key), found in _series(db, probe, line, reach):
                    at = _window_at(clock, reach, window)
                    if at.middle_ms is None or not from_ms <= at.middle_ms < to_ms:
                        continue
                    parts[key[0], key[1]].append(found)
                    uncertain[key[0], key[1]] += is_uncertain(at, ROLL_WINDOW_MS)
        return target_views(parts, roles, {at for at, count in uncertain.items() if count})

    def events(self, from_ms: int, to_ms: int, *, probe: ProbeId | None = None) -> EventsView:
        """Return the transitions, gaps and line changes that can lie in [from_ms, to_ms] of UTC.

        All probes, unless one is named. What nothing bounds on a side can lie
        anywhere on it; such events come too, those without any bound last.
        """
        with snapshot(self._path) as db:
            chosen = reads.probes(db) if probe is None else [probe]
            return events_of(db, chosen, from_ms, to_ms)

    def samples(
        self, probe: ProbeId, line: str | None, from_ms: int, to_ms: int
    ) -> Iterator[SampleRow]:
        """Yield the samples that can lie in [from_ms, to_ms] of UTC, in order of time.

        All lines, unless one is named. Segments are opened one by one as the
        caller reads on: memory does not grow with the range. Within a boot the
        order is that of its clock; boots follow each other.

        Raises:
            ArchiveDamagedError: the archive does not read.
        """
        with snapshot(self._path) as db:
            clock = reads.clock(db, probe)
            found = [
                (reach, reads.raw_segments(db, probe, reach))
                for reach in clock.ranges(from_ms, to_ms)
            ]
        for reach, segments in found:
            for row in self._samples.rows(clock, probe, reach, segments):
                if line is None or row.sample.line == line:
                    yield row

    def quarantined(
        self, probe: ProbeId, *, newest: int | None = None
    ) -> tuple[QuarantinedView, ...]:
        """Return what is kept of a probe and not believed, as it arrived; or only the newest.

        Raises:
            ArchiveDamagedError: the archive does not read.
        """
        with snapshot(self._path) as db:
            clock = reads.clock(db, probe)
            return quarantined_views(db, self._archive, probe, clock=clock, newest=newest)

    def opened_quarantine(self, probe: ProbeId) -> Iterator[OpenedQuarantine]:
        """Yield the same with the records, opened message by message as the caller reads on.

        Raises:
            ArchiveDamagedError: the archive does not read.
        """
        clock = self.clock(probe)
        for view in self.quarantined(probe):
            yield open_quarantined(self._archive, self._opener, view, clock=clock)

    def _counted_samples(
        self,
        probe: ProbeId,
        clock: ProbeClock,
        reach: MonoRange,
        segments: Sequence[RawSegment],
        *,
        uncounted: frozenset[str],
    ) -> Iterator[Counted]:
        for row in self._samples.rows(clock, probe, reach, segments):
            sample = row.sample
            if sample.check not in UNCOUNTED and sample.target not in uncounted:
                yield Counted(probe, sample.line, row.at, 1, int(sample.failure is None))


def _check_samples(to_open: Sequence[_ToOpen]) -> None:
    if sum(found.count for *_, segments in to_open for found in segments) > FINE_SAMPLES_MAX:
        raise LimitError(
            f"cannot draw cells this fine: more than {FINE_SAMPLES_MAX} samples to open; "
            f"choose cells of {FINE_CELL_MS // 60_000} minutes or more, or a shorter range"
        )


def _probe_view(db: Connection, probe: ProbeId) -> ProbeView:
    totals = reads.totals(db, probe)
    streams = tuple(
        StreamView(
            epoch=epoch,
            stream=stream,
            ranges=tuple(held),
            holes=_holes(held),
            records=held.count(),
            sealed=totals.get((epoch, stream, "sealed"), 0),
            unreadable=totals.get((epoch, stream, "unreadable"), 0),
        )
        for (epoch, stream), held in reads.coverage(db, probe).items()
    )
    return ProbeView(
        probe=probe,
        enrolled_ms=reads.enrolled_ms(db, probe),
        last_arrival_ms=reads.last_arrival_ms(db, probe),
        streams=streams,
        unverified=reads.count_unverified(db, probe),
        quarantined=reads.count_quarantined(db, probe),
    )


def _holes(held: SeqSet) -> tuple[tuple[int, int], ...]:
    return tuple(held.missing(1, held.last() or 0))


def _windows(reach: MonoRange) -> tuple[int, int]:
    """Return the windows of a range; one more below, since a slot precedes its check."""
    return reach.first_ms // ROLL_WINDOW_MS - 1, reach.last_ms // ROLL_WINDOW_MS


def _window_at(clock: ProbeClock, reach: MonoRange, window: int) -> Interval:
    middle_ms = window * ROLL_WINDOW_MS + ROLL_WINDOW_MS // 2
    return clock.place(reach.epoch, reach.boot, middle_ms)


def _counted_windows(
    db: Connection,
    probe: ProbeId,
    clock: ProbeClock,
    reach: MonoRange,
    *,
    bounds: Sequence[int],
    cell_ms: int,
) -> Iterator[Counted]:
    found: defaultdict[int, list[tuple[str, int, int]]] = defaultdict(list)
    rows = reads.line_windows(db, probe, reach, windows=_windows(reach))
    for window, line, sent, answered in rows:
        found[window].append((line, sent, answered))
    windows = list(found)
    for first, end, at in runs(
        windows, lambda window: _window_at(clock, reach, window), bounds=bounds, cell_ms=cell_ms
    ):
        sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for window in windows[first:end]:
            for line, sent, answered in found[window]:
                sums[line][0] += sent
                sums[line][1] += answered
        for line, (sent, answered) in sums.items():
            yield Counted(probe, line, at, sent, answered)


def _series(
    db: Connection, probe: ProbeId, line: str, reach: MonoRange
) -> Iterator[tuple[tuple[int, str, str], Tally]]:
    """Yield the fuller tally of each window, target and check of a line."""
    sources: defaultdict[tuple[int, str, str], dict[str, Tally]] = defaultdict(dict)
    for row in reads.rollups(db, probe, line, reach, windows=_windows(reach)):
        window, target, check, source, *_ = row
        sources[window, target, check][source] = tally_of_row(row[4:])
    for key, found in sources.items():
        yield key, fuller(found.get("raw"), found.get("probe"))
