"""The probe's half of the sync: what to send next, and when to give a connection up.

Pure. It knows ranges of sequence numbers, never bytes: the driver loads the
segment that a `Send` names and says with `Sent` how large it was. Nothing but
an ack of the server takes anything off the list; a disconnection puts all
that was only sent back on it. Source: docs/wire-format.md, "Sync".
"""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.acks import acked_set, within
from linewatch_core.sync.messages import Ack, StreamAck
from linewatch_core.sync.order import StreamState, Turns
from linewatch_core.sync.pacing import BulkWindow, DutyCycle
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Held,
    Published,
    Reconnect,
    SaveAck,
    Send,
    Sent,
    Tick,
)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The windows and patience of an upload; bytes and seconds.

    A window is open while less than its limit is in it, so it is exceeded by less than
    one segment. Live samples that have waited `live_wait_s` go before everything else.
    """

    segments_in_flight: int = 8
    bytes_in_flight: int = 64 * 1024
    bytes_unacked: int = 256 * 1024
    bytes_before_ack: int = 8 * 1024
    birth_ack_wait_s: float = 5.0
    ack_patience_s: float = 300.0
    backfill_turn: int = 8
    live_wait_s: float = 20.0


_Key: TypeAlias = tuple[Stream, int, int]


@dataclass(frozen=True, slots=True)
class _Out:
    size: int
    sent_s: float


class Uploader:
    """The machine: one object for the life of the agent, for one epoch."""

    def __init__(self, *, epoch: str, limits: UploadLimits | None = None) -> None:
        self._epoch = epoch
        self._limits = limits or UploadLimits()
        self._credit = self._limits.bytes_unacked
        self._streams = {stream: StreamState() for stream in Stream}
        self._in_flight: dict[_Key, _Out] = {}
        self._unacked: dict[_Key, _Out] = {}
        self._conn: int | None = None
        self._asked: Send | None = None
        self._resting = False
        self._backfilling: bool | None = None
        self._open_at = 0.0
        self._heard_s: float | None = None
        self._turns = Turns(self._limits.backfill_turn, self._limits.live_wait_s)
        self._window = BulkWindow(self._limits.bytes_in_flight)
        self._cycle = DutyCycle()

    def load_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Take what the store remembered of the last ack, before the first event."""
        state = self._streams[stream]
        state.acked = acked_set(ack)
        state.sealed_through = max(state.sealed_through, ack.through)

    @property
    def epoch(self) -> str:
        """The epoch that it sends."""
        return self._epoch

    def backlog(self) -> int:
        """Return how many held records are not known to be durable at the server."""
        return sum(s.held.difference(s.acked).count() for s in self._streams.values())

    def held_bounds(self) -> dict[Stream, tuple[int, int]]:
        """Return per stream the first and last seq that the store still has; streams with none
        are absent."""
        bounds = {}
        for stream, state in self._streams.items():
            first, last = state.held.first(), state.held.last()
            if first is not None and last is not None:
                bounds[stream] = (first, last)
        return bounds

    def acked_count(self, stream: Stream) -> int:
        """Return how many records of `stream` the server has said are durable."""
        return self._streams[stream].acked.count()

    def is_backfilling(self) -> bool:
        """Return whether records from before this connection are still being sent.

        Asked for with every sample: what follows from an event is worked out once.
        """
        if self._backfilling is None:
            self._backfilling = self._has_backlog()
        return self._backfilling

    def _has_backlog(self) -> bool:
        if self._conn is None:
            return False
        oldest = self._streams[Stream.RAW].pending().first()
        return oldest is not None and oldest < self._streams[Stream.RAW].live_from

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event at monotonic second `now`; return what to do, in order."""
        commands = self._take(event, now)
        self._backfilling = None
        return commands

    def _take(self, event: Event, now: float) -> list[Command]:
        commands: list[Command] = []
        match event:
            case Held(stream, first, last):
                state = self._streams[stream]
                state.held.add(first, last)
                state.sealed_through = max(state.sealed_through, last)
                if stream is Stream.RAW and first >= state.live_from and self._conn is not None:
                    self._turns.sealed_live(first, last, now)
            case Dropped(stream, first, last):
                self._streams[stream].held.discard(first, last)
                self._answered(stream, first, last)
            case Connected(conn):
                self._begin(conn, now)
            case Disconnected():
                self._end()
            case Sent(stream, first, last, size):
                self._note_sent(stream, first, last, size, now)
            case Published(stream, first, last):
                self._note_published((stream, first, last), now)
            case AckReceived(ack):
                commands += self._take_ack(ack, now)
            case Tick():
                pass
            case _:
                assert_never(event)
        overdue = self._overdue(now)
        self._cycle.update(now, in_flight=any(map(self._is_backfill, self._in_flight)))
        if overdue is not None:
            return [*commands, overdue]
        return commands + self._next(now)

    def wakeup_at(self) -> float | None:
        """Return the monotonic second at which a `Tick` is due, or None."""
        if self._conn is None:
            return None
        waits = [out.sent_s + self._limits.ack_patience_s for out in self._unacked.values()]
        if self._open_at:
            waits.append(self._open_at)
        elif self._resting and self._has_backlog():
            waits.append(self._cycle.rest_until)
        return min(waits, default=None)

    def _begin(self, conn: int, now: float) -> None:
        self._end()
        self._conn = conn
        self._turns.begin()
        self._window = BulkWindow(self._limits.bytes_in_flight)
        # A server too busy to answer the birth must not be flooded by a whole fleet.
        self._credit = self._limits.bytes_before_ack
        self._open_at = now + self._limits.birth_ack_wait_s
        for state in self._streams.values():
            state.all_is_old()

    def _end(self) -> None:
        self._conn = None
        self._asked = None
        self._resting = False
        self._open_at = 0.0
        self._heard_s = None
        self._forget_sent()

    def _forget_sent(self) -> None:
        self._in_flight.clear()
        self._unacked.clear()
        for state in self._streams.values():
            state.sent = SeqSet()

    def _answered(self, stream: Stream, first: int, last: int) -> None:
        """The `Send` in hand is done if it was about first..last."""
        asked = self._asked
        if asked is not None and asked.stream is stream and first <= asked.seq <= last:
            self._asked = None

    def _note_sent(self, stream: Stream, first: int, last: int, size: int, now: float) -> None:
        self._answered(stream, first, last)
        if self._conn is None:
            return
        key = (stream, first, last)
        self._streams[stream].sent.add(first, last)
        self._in_flight[key] = self._unacked[key] = _Out(size, now)
        self._turns.sent(backfill=self._is_backfill(key))

    def _note_published(self, key: _Key, now: float) -> None:
        out = self._in_flight.pop(key, None)
        if out is not None:
            self._window.published(now - out.sent_s)

    def _is_backfill(self, key: _Key) -> bool:
        return key[0] is Stream.RAW and key[1] < self._streams[Stream.RAW].live_from

    def _overdue(self, now: float) -> Reconnect | None:
        """Give the connection up if nothing was heard since a segment that is overdue was sent.

        If acks do come, only those segments were lost on the way, as a broker may: send
        them again.
        """
        patience_s = self._limits.ack_patience_s
        late = {k: out.sent_s for k, out in self._unacked.items() if now >= out.sent_s + patience_s}
        if not late:
            return None
        if self._heard_s is None or self._heard_s <= min(late.values()):
            self._end()
            return Reconnect("the server acknowledged nothing")
        for stream, first, last in late:
            self._streams[stream].sent.discard(first, last)
            del self._unacked[stream, first, last]
            self._in_flight.pop((stream, first, last), None)
        return None

    def _take_ack(self, ack: Ack, now: float) -> list[Command]:
        if ack.epoch != self._epoch or ack.conn != self._conn:
            return []
        self._open_at = 0.0
        self._heard_s = now
        self._credit = min(ack.credit_bytes, self._limits.bytes_unacked)
        if ack.birth:
            self._forget_sent()
        commands: list[Command] = []
        for stream, said in ack.streams.items():
            state = self._streams[stream]
            # A server that has more than was ever sealed here has it of another life of this
            # store (a card put back from an image): that says nothing of what is sealed next.
            part = within(said, state.sealed_through)
            acked = acked_set(part)
            # After a restore the server may have less than it once said: send that again,
            # as a backlog, so that five-minute counts and what is sealed from now go first.
            for first, last in state.acked.difference(acked):
                state.sent.discard(first, last)
                state.all_is_old()
            # A birth's is saved even if nothing is new: the last SaveAck may have been lost
            # with its connection.
            if ack.birth or acked != state.acked:
                state.acked = acked
                commands.append(SaveAck(stream, part))
        for key in list(self._unacked):
            if self._streams[key[0]].acked.covers(key[1], key[2]):
                del self._unacked[key]
                self._in_flight.pop(key, None)
        return commands

    def _next(self, now: float) -> list[Command]:
        self._resting = False
        if self._conn is None or self._asked is not None or now < self._open_at:
            return []
        self._open_at = 0.0
        waiting = sum(out.size for out in self._in_flight.values())
        if (
            len(self._in_flight) >= self._limits.segments_in_flight
            or waiting >= self._limits.bytes_in_flight
            or sum(out.size for out in self._unacked.values()) >= self._credit
        ):
            return []
        may_backfill = self._cycle.may_send(now)
        choice = self._turns.choose(
            self._streams, now, bulk=waiting < self._window.size, backfill=may_backfill
        )
        if choice is None:
            self._resting = self._cycle.busy_since is None and not may_backfill
            return []
        self._asked = choice
        return [choice]
