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
from linewatch_core.sync.messages import Heads, Status, StreamAck

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
    """A probe said that it is online; `held` is what is durable of that epoch already, `heads`
    the segments at the ends of its ranges as an ack tells them."""

    status: Status
    held: Mapping[Stream, SeqSet]
    heads: Heads = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Durable:
    """The range first..last is in durable storage, since now or since long ago.

    A segment that comes again is told like a new one: its ack was lost, so say it again.
    `held` is all that is durable of its epoch and stream: it is needed where no birth told.
    """

    epoch: str
    stream: Stream
    first: int
    last: int
    held: SeqSet = field(default_factory=SeqSet)


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = Born | Durable | Tick
_Chain: TypeAlias = tuple[str, Stream]


@dataclass(frozen=True, slots=True)
class SayAck:
    """Send this; the driver adds the time and the signature."""

    epoch: str
    conn: int
    birth: bool
    streams: dict[Stream, StreamAck]
    heads: Heads = field(default_factory=dict)


@dataclass(slots=True)
class AckBook:
    """The acks of one probe: of the epoch of its last birth, and of older ones of which it sends
    on that connection what a damaged store still had."""

    _epoch: str | None = None
    _conn: int = 0
    _held: dict[_Chain, SeqSet] = field(default_factory=dict)
    _changed: set[_Chain] = field(default_factory=set)
    _due: float | None = None

    def handle(self, event: Event, now: float) -> list[SayAck]:
        """Take one event at monotonic second `now`; return the acks to send."""
        match event:
            case Born(status, held, heads):
                return self._birth(status, held, heads)
            case Durable(epoch, stream, first, last, held):
                if self._epoch is not None:
                    chain = (epoch, stream)
                    self._held.setdefault(chain, SeqSet(held)).add(first, last)
                    self._mark(chain, now)
            case Tick():
                pass
            case _:
                assert_never(event)
        if self._due is None or now < self._due or self._epoch is None:
            return []
        said: dict[str, dict[Stream, StreamAck]] = {}
        for epoch, stream in sorted(self._changed):
            said.setdefault(epoch, {})[stream] = stream_ack(self._held[epoch, stream])
        self._changed.clear()
        self._due = None
        return [SayAck(epoch, self._conn, birth=False, streams=said[epoch]) for epoch in said]

    def wakeup_at(self) -> float | None:
        """Return the monotonic second at which a `Tick` is due, or None."""
        return self._due

    def _birth(
        self,
        status: Status,
        held: Mapping[Stream, SeqSet],
        heads: Heads,
    ) -> list[SayAck]:
        if status.state != "online":
            return []
        self._epoch = status.epoch
        self._conn = status.conn
        self._held = {(status.epoch, one): SeqSet(held.get(one, ())) for one in Stream}
        self._changed.clear()
        self._due = None
        said = {one: stream_ack(self._held[status.epoch, one]) for one in Stream}
        return [SayAck(status.epoch, status.conn, birth=True, streams=said, heads=heads)]

    def _mark(self, chain: _Chain, now: float) -> None:
        self._changed.add(chain)
        if self._due is None:
            self._due = now + ACK_DELAY_S
