"""Where each stream's chain of segments ends, and what the server has of it: one row a stream.

What writes belongs inside a transaction of the caller's; what it wrote counts once the
caller says that this is durable. Knows no records and no keys.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from linewatch_agent.plan.retention import log_ack
from linewatch_agent.store.database import Database
from linewatch_agent.store.tables import (
    StreamRow,
    find_segment,
    load_stream,
    put_segments,
    save_ack_log,
    save_stream,
)
from linewatch_core.records import Stream
from linewatch_core.segment.chain import ChainHead
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import Heads, StreamAck


class Chains:
    """The rows of the three streams, as they are durable, and acks that are not yet."""

    def __init__(self, db: Database) -> None:
        """Read the rows; call it inside `reading`."""
        self._db = db
        self._rows = {stream: load_stream(db, stream) for stream in Stream}
        self._saved_logs = {stream: row.ack_log for stream, row in self._rows.items()}
        self._unsaved: set[Stream] = set()

    @property
    def rows(self) -> Mapping[Stream, StreamRow]:
        """The rows; a new one takes the old one's place, none changes."""
        return self._rows

    def head(self, stream: Stream) -> ChainHead:
        """Return where a stream's chain ends."""
        return self._rows[stream].head

    def append(self, stream: Stream, segments: Sequence[bytes]) -> ChainHead:
        """Write segments at the end of a chain; return its new end, for `move`."""
        head = put_segments(self._db, stream, segments)
        save_stream(self._db, stream, replace(self._rows[stream], head=head))
        return head

    def move(self, stream: Stream, head: ChainHead) -> None:
        """Go on from a new end that is durable."""
        self._rows[stream] = replace(self._rows[stream], head=head)

    def check_heads(self, heads: Heads) -> None:
        """See whether the server has another story of a chain than the store itself.

        Raises:
            StoreDamagedError: it has.
        """
        told = ((stream, *one) for stream, some in heads.items() for one in some)
        for stream, last, sha256 in told:
            with self._db.reading():
                row = find_segment(self._db, stream, last)
            is_ours = row is None or (
                row.where.last == last and hashlib.sha256(row.header).hexdigest() == sha256
            )
            if not is_ours or last >= self.head(stream).next_seq:
                raise self._db.forked(stream)

    def take_ack(self, stream: Stream, ack: StreamAck, *, uptime_ms: int) -> bool:
        """Note what the server has of a stream; return whether that is less than before."""
        row = self._rows[stream]
        is_less = bool(acked_set(row.ack).difference(acked_set(ack)))
        through = min((first - 1 for first, _ in ack.holes), default=ack.through)
        log = log_ack(row.ack_log, uptime_ms=uptime_ms, through=through)
        self._rows[stream] = replace(row, ack=ack, ack_log=log)
        self._unsaved.add(stream)
        return is_less

    def write_acks(self) -> None:
        """Write the acks that were noted since `acks_are_saved`."""
        for stream in sorted(self._unsaved):
            row = self._rows[stream]
            save_stream(self._db, stream, row)
            if row.ack_log != self._saved_logs[stream]:
                save_ack_log(self._db, stream, row.ack_log)

    def acks_are_saved(self) -> None:
        """Take it that what `write_acks` wrote is durable."""
        for stream in self._unsaved:
            self._saved_logs[stream] = self._rows[stream].ack_log
        self._unsaved.clear()
