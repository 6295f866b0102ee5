"""Samples in order of time, from the archive: opens segments one by one, keeps few rows.

A check that began early may have ended late and stand in the next segment, so
rows wait until no later segment of their boot can begin before them.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from linewatch_core.errors import LinewatchError
from linewatch_core.ids import ProbeId
from linewatch_core.records import Sample
from linewatch_core.segment.segment import parse_segment
from linewatch_server.archive.reader import Archive, ArchiveDamagedError
from linewatch_server.index.opening import Opener
from linewatch_server.index.reads import RawSegment
from linewatch_server.model.clock import MonoRange, ProbeClock
from linewatch_server.model.views import SampleRow


class SampleReader:
    """Reads samples of stored segments."""

    def __init__(self, archive: Archive, opener: Opener) -> None:
        self._archive = archive
        self._opener = opener

    def rows(
        self, clock: ProbeClock, probe: ProbeId, reach: MonoRange, segments: Sequence[RawSegment]
    ) -> Iterator[SampleRow]:
        """Yield the samples of one boot whose check began within `reach`, by its clock.

        Args:
            segments: those of the boot that reach into `reach`, by `mono_first_ms`.
        Raises:
            ArchiveDamagedError: a segment does not read as it did when it was indexed.
        """
        waiting: list[tuple[int, int, Sample]] = []
        for segment in segments:
            while waiting and waiting[0][0] < segment.mono_first_ms:
                yield _row(clock, probe, reach, heappop(waiting))
            for seq, sample in self._open(segment):
                if reach.first_ms <= sample.mono_ms <= reach.last_ms:
                    heappush(waiting, (sample.mono_ms, seq, sample))
        while waiting:
            yield _row(clock, probe, reach, heappop(waiting))

    def _open(self, segment: RawSegment) -> Iterator[tuple[int, Sample]]:
        entry = self._archive.read(segment.location)
        try:
            records = self._opener.open(parse_segment(entry.payload))
        except LinewatchError as error:
            raise ArchiveDamagedError(
                f"cannot open the segment at {segment.location}: {error}; rebuild the index"
            ) from error
        for record in records or ():
            if isinstance(record.body, Sample):
                yield record.seq, record.body


def _row(
    clock: ProbeClock, probe: ProbeId, reach: MonoRange, item: tuple[int, int, Sample]
) -> SampleRow:
    mono_ms, seq, sample = item
    at = clock.place(reach.epoch, reach.boot, mono_ms)
    return SampleRow(probe, reach.epoch, reach.boot, seq, at, sample)
