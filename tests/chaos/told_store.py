"""The real store, with the ledger told of what it promises; it does nothing else.

A call that ends without a word (neither done nor refused) is in doubt.
"""

from collections.abc import Sequence

from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.room import Thinned
from linewatch_agent.store.spare import Mark
from linewatch_agent.store.store import Store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Closing, Committed
from linewatch_core.records import Body, Stream
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import StreamAck
from tests.chaos.ledger import Ledger, Range


class ToldStore(Store):
    """The store, with the ledger told of what it promises. Changes nothing that it does."""

    ledger: Ledger

    def commit_and_close(
        self,
        bodies: Sequence[Body],
        *,
        now_ms: int,
        safe_ms: int,
        closing: Closing | None = None,
        mark: Mark | None = None,
    ) -> Committed:
        try:
            done = super().commit_and_close(
                bodies, now_ms=now_ms, safe_ms=safe_ms, closing=closing, mark=mark
            )
        except StoreFullError:
            raise  # A word, too: nothing of it is there.
        except BaseException:
            self.ledger.is_in_doubt(self.epoch, bodies)
            raise
        self.ledger.was_committed(self.epoch, done.records)
        return done

    def make_room(self, now_ms: int) -> Thinned | None:
        try:
            thinned = super().make_room(now_ms)
        except StoreFullError:
            raise
        except BaseException:
            self.ledger.thinning_in_doubt = True
            raise
        if thinned is not None:
            dropped = [
                Range((self.epoch, one.stream), one.first, one.last) for one in thinned.dropped
            ]
            last_ev = self.counts().committed[Stream.EV]
            self.ledger.was_given_up(self.epoch, dropped, thinned.gaps, last_ev=last_ev)
        return thinned

    def load(self, stream: Stream, seq: int) -> tuple[SealedRange, bytes] | None:
        loaded = super().load(stream, seq)
        self.ledger.was_numbered((self.epoch, Stream.EV), self.counts().committed[Stream.EV])
        return loaded

    def save_ack(self, stream: Stream, ack: StreamAck, *, now_ms: int) -> None:
        self.ledger.was_acked((self.epoch, stream), acked_set(ack))
        super().save_ack(stream, ack, now_ms=now_ms)
