"""The server's half of the sync: what to do with a segment, and what to acknowledge.

Pure. `judge` decides on one segment from what is already held; `AckBook`
turns births and durable writes into acks, never ahead of storage. Acks are
cumulative and merged, so that a fleet's backfill costs few messages.
Source: docs/wire-format.md, "Sync".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, assert_never

from linewatch_core.errors import ChainError
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.header import Header
from linewatch_core.sync.acks import stream_ack
from linewatch_core.sync.messages import Status, StreamAck

ACK_DELAY_S = 1.0
"""Acks of one probe wait this long for each other; a birth is answered at once."""


class Decision(StrEnum):
    """What becomes of a segment whose signature holds."""

    STORE = "store"
    DUPLICATE = "duplicate"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision and, for quarantine, why."""

    decision: Decision
    reason: str = ""


def judge(
    header: Header,
    *,
    held: SeqSet,
    same: bool,
    before: Header | None,
    after: Header | None,
    at: Header | None = None,
) -> Judgement:
    """Decide on a segment from its place among those held.

    Args:
        header: of the segment, its signature already verified.
        held: what is stored of its (probe, epoch, stream).
        same: a segment with this very header is stored.
        before, after: the stored headers at the chain positions beside it.
        at: the stored header at its own position, if there is one and it is another.
    Returns:
        Store, duplicate, or quarantine: kept durably and acked, but not believed.
    """
    if same:
        return Judgement(Decision.DUPLICATE)
    if held.overlaps(header.first_seq, header.last_seq):
        return Judgement(Decision.QUARANTINE, "its records overlap others that are stored")
    if at is not None:
        return Judgement(Decision.QUARANTINE, "another segment has its place in the chain")
    try:
        if before is not None:
            check_follows(before, header)
        if after is not None:
            check_follows(header, after)
    except ChainError as error:
        return Judgement(Decision.QUARANTINE, str(error))
    return Judgement(Decision.STORE)


@dataclass(frozen=True, slots=True)
class Born:
    """A probe said that it is online; `held` is what is durable of that epoch already."""

    status: Status
    held: Mapping[Stream, SeqSet]


@dataclass(frozen=True, slots=True)
class Durable:
    """The range first..last is in durable storage, since now or since long ago.

    A segment that comes again is told like a new one: its ack was lost, so say it again.
    """

    epoch: str
    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = Born | Durable | Tick


@dataclass(frozen=True, slots=True)
class SayAck:
    """Send this; the driver adds the time and the signature."""

    epoch: str
    conn: int
    birth: bool
    streams: dict[Stream, StreamAck]


@dataclass(slots=True)
class AckBook:
    """The acks of one probe. Only the epoch of the last birth is acknowledged."""

    _epoch: str | None = None
    _conn: int = 0
    _held: dict[Stream, SeqSet] = field(default_factory=dict)
    _changed: set[Stream] = field(default_factory=set)
    _due: float | None = None

    def handle(self, event: Event, now: float) -> list[SayAck]:
        """Take one event at monotonic second `now`; return the acks to send."""
        match event:
            case Born(status, held):
                return self._birth(status, held)
            case Durable(epoch, stream, first, last):
                if epoch == self._epoch:
                    self._held[stream].add(first, last)
                    self._mark(stream, now)
            case Tick():
                pass
            case _:
                assert_never(event)
        if self._due is None or now < self._due or self._epoch is None:
            return []
        said = {stream: stream_ack(self._held[stream]) for stream in sorted(self._changed)}
        self._changed.clear()
        self._due = None
        return [SayAck(self._epoch, self._conn, birth=False, streams=said)]

    def wakeup_at(self) -> float | None:
        """Return the monotonic second at which a `Tick` is due, or None."""
        return self._due

    def _birth(self, status: Status, held: Mapping[Stream, SeqSet]) -> list[SayAck]:
        if status.state != "online":
            return []
        self._epoch = status.epoch
        self._conn = status.conn
        self._held = {stream: SeqSet(held.get(stream, ())) for stream in Stream}
        self._changed.clear()
        self._due = None
        said = {stream: stream_ack(self._held[stream]) for stream in Stream}
        return [SayAck(status.epoch, status.conn, birth=True, streams=said)]

    def _mark(self, stream: Stream, now: float) -> None:
        self._changed.add(stream)
        if self._due is None:
            self._due = now + ACK_DELAY_S
