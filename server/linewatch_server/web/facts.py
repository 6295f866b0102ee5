"""What the first sentences of a page say: counts over strips and over the fleet.

Pure. Says what was and was not observed, and nothing of causes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_server.model.strips import CellState, Strips
from linewatch_server.model.views import QUIET_MS, ProbeView
from linewatch_server.web.strip_table import NO_DATA, ShownCell, ShownRow, StripTable


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive cells of one line that show the same; `others`: how many more such there are."""

    probe: ProbeId
    line: str
    from_ms: int
    to_ms: int
    others: int


@dataclass(frozen=True, slots=True)
class RangeFacts:
    """What the strips of a range show.

    Attributes:
        probes, lines: how many the strips have.
        sent, answered: checks in all cells.
        unplaced: checks that nothing places in time.
        low: the longest stretch per line in which fewer than one check in five
            answered: `none` would miss a line on which a host or two still answer.
        unknown: the longest stretch per line without data and without a known gap.
        gapped: how many lines have a known gap.
    """

    probes: int
    lines: int
    sent: int
    answered: int
    unplaced: int
    low: tuple[Stretch, ...]
    unknown: tuple[Stretch, ...]
    gapped: int


@dataclass(frozen=True, slots=True)
class StreamTotal:
    """What is stored of one stream of all probes shown: records, and numbers missing between."""

    stream: Stream
    records: int
    missing: int


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What is stored of the fleet, whatever the range.

    Attributes:
        incomplete: probes of which something is known to be missing.
        never: probes from which nothing has ever arrived.
        quiet: those from which nothing has arrived for QUIET_MS, the last to fall silent first.
    """

    records: int
    sealed: int
    unreadable: int
    unverified: int
    quarantined: int
    streams: tuple[StreamTotal, ...]
    incomplete: tuple[ProbeView, ...]
    never: tuple[ProbeView, ...]
    quiet: tuple[ProbeView, ...]


def range_facts(strips: Strips, table: StripTable) -> RangeFacts:
    """Return the facts of a range; `table` is what is shown of `strips`."""
    cells = [cell for row in strips.rows for cell in row.cells]
    return RangeFacts(
        probes=len({row.probe for row in strips.rows}),
        lines=len(strips.rows),
        sent=sum(cell.sent for cell in cells),
        answered=sum(cell.answered for cell in cells),
        unplaced=sum(row.unplaced for row in strips.rows),
        low=tuple(_longest(table.rows, _is_low)),
        unknown=tuple(_longest(table.rows, _is_unknown)),
        gapped=sum(any(cell.gap for cell in row.cells) for row in strips.rows),
    )


def store_facts(fleet: Sequence[ProbeView], *, now_ms: int) -> StoreFacts:
    """Return what is stored of the probes of `fleet`."""
    heard = [(p.last_arrival_ms, p) for p in fleet if p.last_arrival_ms is not None]
    quiet = [(last_ms, p) for last_ms, p in heard if now_ms - last_ms > QUIET_MS]
    streams = [stream for probe in fleet for stream in probe.streams]
    return StoreFacts(
        records=sum(stream.records for stream in streams),
        sealed=sum(stream.sealed for stream in streams),
        unreadable=sum(stream.unreadable for stream in streams),
        unverified=sum(probe.unverified for probe in fleet),
        quarantined=sum(probe.quarantined for probe in fleet),
        streams=tuple(
            StreamTotal(
                name,
                sum(s.records for s in streams if s.stream is name),
                sum(count_missing(s.holes) for s in streams if s.stream is name),
            )
            for name in Stream
        ),
        incomplete=tuple(p for p in fleet if p.unverified or any(s.holes for s in p.streams)),
        never=tuple(p for p in fleet if p.last_arrival_ms is None),
        quiet=tuple(p for _, p in sorted(quiet, key=lambda item: (-item[0], item[1].probe))),
    )


def count_missing(holes: Iterable[tuple[int, int]]) -> int:
    """Return how many numbers the ranges of `holes` have."""
    return sum(last - first + 1 for first, last in holes)


def _is_low(shown: ShownCell) -> bool:
    cell = shown.cell
    return cell.state is CellState.DATA and cell.answered * 5 < cell.sent


def _is_unknown(shown: ShownCell) -> bool:
    return shown.mark == NO_DATA


def _longest(rows: Iterable[ShownRow], belongs: Callable[[ShownCell], bool]) -> Iterator[Stretch]:
    """Yield the longest stretch per line of cells that belong, the longest of all first."""
    found = []
    for row in rows:
        runs = [list(cells) for same, cells in groupby(row.cells, key=belongs) if same]
        if runs:
            longest = max(runs, key=_length_ms)
            others = len(runs) - 1
            found.append(
                Stretch(row.probe, row.line, longest[0].from_ms, longest[-1].to_ms, others)
            )
    yield from sorted(found, key=lambda s: (s.from_ms - s.to_ms, s.probe, s.line))


def _length_ms(cells: Sequence[ShownCell]) -> int:
    return cells[-1].to_ms - cells[0].from_ms
