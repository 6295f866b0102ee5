"""What goes next: the classes of the sync and their turns.

P0 `ev`; P1 live `raw`; P2 `roll`; P3 `raw` from before the connection. Pure; part of
the uploader, which keeps the windows. Source: docs/wire-format.md, "A connection".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.upload_talk import Send


@dataclass(slots=True)
class StreamState:
    """What is known of one stream: what is held, acked, and on its way on this connection."""

    held: SeqSet = field(default_factory=SeqSet)
    acked: SeqSet = field(default_factory=SeqSet)
    sent: SeqSet = field(default_factory=SeqSet)
    sealed_through: int = 0
    live_from: int = 1

    def all_is_old(self) -> None:
        """Take all that is sealed by now for a backlog; only what is sealed from now is live."""
        self.live_from = self.sealed_through + 1

    def pending(self) -> SeqSet:
        """Return what is still to be sent."""
        return self.held.difference(self.acked).difference(self.sent)


@dataclass(slots=True)
class Turns:
    """Whose turn it is: old `raw` gets one send in so many, live `raw` waits only so long."""

    backfill_turn: int
    live_wait_s: float
    sends: int = 0
    _backfill_due: bool = False
    _live: dict[tuple[int, int], float] = field(default_factory=dict)

    def begin(self) -> None:
        """A new connection: turns are counted anew, so that P0 is first every time."""
        self.sends = 0
        self._backfill_due = False
        self._live.clear()

    def sealed_live(self, first: int, last: int, now: float) -> None:
        """Note since when first..last of `raw` waits."""
        self._live[first, last] = now

    def sent(self, *, backfill: bool) -> None:
        """Count a send."""
        self.sends += 1
        if backfill:
            self._backfill_due = False
        if self.sends % self.backfill_turn == 0:
            self._backfill_due = True

    def choose(
        self, streams: Mapping[Stream, StreamState], now: float, *, bulk: bool, backfill: bool
    ) -> Send | None:
        """Pick the next segment, or None if nothing may go.

        Args:
            streams: of the present connection.
            bulk: whether P2 and P3 may go; `backfill`: whether P3 may.
        """
        raw = streams[Stream.RAW]
        pending_raw = raw.pending()
        oldest, newest = pending_raw.first(), pending_raw.last()
        old = oldest if oldest is not None and oldest < raw.live_from else None
        may_old = old is not None and bulk and backfill
        overdue = self._overdue_live(pending_raw, now)
        if overdue is not None:
            return Send(Stream.RAW, overdue)
        if old is not None and may_old and self._backfill_due:
            return Send(Stream.RAW, old)
        event = streams[Stream.EV].pending().first()
        if event is not None:
            return Send(Stream.EV, event)
        if newest is not None and newest >= raw.live_from:
            return Send(Stream.RAW, newest)
        roll = streams[Stream.ROLL].pending().first() if bulk else None
        if roll is not None:
            return Send(Stream.ROLL, roll)
        return Send(Stream.RAW, old) if old is not None and may_old else None

    def _overdue_live(self, pending: SeqSet, now: float) -> int | None:
        """Return the seq of the live `raw` that has waited longest, if that is too long."""
        for (first, last), since in list(self._live.items()):
            if not pending.overlaps(first, last):
                del self._live[first, last]
            elif now - since >= self.live_wait_s:
                return first if pending.covers(first, first) else last
        return None
