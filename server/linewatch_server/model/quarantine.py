"""What is kept and not believed, as plain values: for a person to look at, never for a figure.

Pure data. A message is quarantined where it contradicts what was believed before it:
see docs/coordinator.md, "Quarantine". Times as in views.py.
"""

from dataclasses import dataclass

from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body, Stream
from linewatch_core.timebase import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment by its header, and when its first and its last record were written down.

    Attributes:
        position: its place in its chain, from 0.
        header_sha256: of its header, in hexadecimal: tells two segments apart for sure.
        begins, ends: by the clock of its boot, which believed anchors tie to UTC.
    """

    epoch: Epoch
    stream: Stream
    boot: BootId
    position: int
    first_seq: int
    last_seq: int
    header_sha256: str
    begins: Interval
    ends: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class BelievedView:
    """A believed segment that a quarantined one contradicts, and when it arrived."""

    arrival_ms: int
    segment: SegmentView


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedView:
    """A message that is kept and not believed.

    Attributes:
        pack, offset: where the archive holds it.
        arrival_ms: when it arrived, by the server's clock.
        reason: why it is not believed.
        byte_count, sha256: of the message as it came.
        signed: a key that is known as its probe's own signed it.
        segment: what it says of itself; None if it is no segment of this probe.
        believed: what is believed instead: the segments with the same numbers or the same
            place in the chain; else those beside it.
    """

    pack: int
    offset: int
    arrival_ms: int
    reason: str
    byte_count: int
    sha256: str
    signed: bool
    segment: SegmentView | None
    believed: tuple[BelievedView, ...]


@dataclass(frozen=True, slots=True)
class UnbelievedRecord:
    """A record of a quarantined segment: its number, its body, and where its clock places it."""

    seq: int
    at: Interval
    body: Body


@dataclass(frozen=True, slots=True)
class OpenedQuarantine:
    """A quarantined message with its records; without, `unopened` says why."""

    view: QuarantinedView
    records: tuple[UnbelievedRecord, ...] | None
    unopened: str | None
