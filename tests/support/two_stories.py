"""A store that went back to an earlier state: two stories of one probe at a server.

The probe sends an hour. Then its card is put back to what it was after twenty
minutes, and it records on under numbers that the server has already.
"""

from contextlib import closing
from pathlib import Path

from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    ConfigApplied,
    LineChanged,
    LineKind,
    TargetNote,
)
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync import topics
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.opening import Opener
from linewatch_server.index.writer import Index
from linewatch_server.ingest import Ingest, Message
from tests.support.example_fleet import HOUR_MS, MINUTE_MS, NOW_MS, PERIOD_MS
from tests.support.probes import ProbeWriter, boot_id, sample
from tests.support.records import TARGETS
from tests.support.segments import recipient_secret

START_MS = NOW_MS - 2 * HOUR_MS
"""When the first story begins; the second one's own part begins an hour later."""
FIRST, SECOND = boot_id("first story"), boot_id("second story")
SECRETS = (recipient_secret("fleet"),)
ARRIVED_MS = (START_MS + HOUR_MS, NOW_MS - MINUTE_MS)
"""When each story came."""


def fill_two_stories(directory: Path) -> ProbeWriter:
    """Let a server take both stories as they come; return the probe of the first one."""
    first, second = ProbeWriter("forked"), ProbeWriter("forked")
    enrolled = first.key.public
    begin = [_events(first), _samples(first, 0)]
    again = [_events(second), _samples(second, 0)]
    assert begin == again
    told = [*begin, _samples(first, 20), _samples(first, 40)]
    told_again = [_samples(second, 60, again=True), _samples(second, 80, again=True)]
    newer = ProbeWriter("forked", store="after the fork")
    newer.key = first.key
    told_again.append(
        newer.close(SECOND, [BootStarted(1, "0.1.0"), _anchor(1, START_MS + HOUR_MS)])
    )
    with ArchiveWriter(directory) as archive:
        index = Index(directory, archive, Opener(SECRETS))
        with closing(index):
            ingest = Ingest(archive, index, root_key=lambda _: enrolled)
            for arrival_ms, segments in zip(ARRIVED_MS, (told, told_again), strict=True):
                ingest.take([_message(segment, arrival_ms) for segment in segments], 0.0)
    return first


def _events(writer: ProbeWriter) -> bytes:
    notes = tuple(TargetNote(t.id, t.role, (t.check,)) for t in TARGETS)
    bodies: list[Body] = [
        BootStarted(1, "0.1.0"),
        ConfigApplied(2, "0" * 64, PERIOD_MS, notes),
        LineChanged(3, "fixed-1", LineKind.FIXED, True, (4, 6)),
        _anchor(4, START_MS),
    ]
    return writer.close(FIRST, bodies)


def _anchor(mono_ms: int, utc_ms: int) -> Anchor:
    return Anchor(mono_ms, utc_ms + mono_ms, 20, AnchorSource.NTP)


def _samples(writer: ProbeWriter, minute: int, *, again: bool = False) -> bytes:
    """Return twenty minutes of samples; `again`: on the boot of the store that was put back."""
    begins = (minute - 60 if again else minute) * MINUTE_MS + 5_000
    failure = "generic_timeout_error" if again else None
    bodies = [sample(begins + n * PERIOD_MS, failure=failure) for n in range(40)]
    return writer.close(SECOND if again else FIRST, bodies)


def _message(segment: bytes, arrival_ms: int) -> Message:
    header = parse_segment(segment).header
    return Message(topics.segments(header.probe, header.stream), segment, arrival_ms)
