"""A cumulative ack as a set of sequence numbers, and back.

Both ends of the sync use it: the server says what it holds, the probe learns
what it need not send. Source: docs/wire-format.md, "Sync".
"""

from linewatch_core.intervals import SeqSet
from linewatch_core.sync.messages import HOLES_MAX, StreamAck


def stream_ack(held: SeqSet) -> StreamAck:
    """Return the ack of what is held: no further than its first 64 holes allow."""
    last = held.last()
    if last is None:
        return StreamAck(0)
    holes = held.missing(1, last)
    if len(holes) <= HOLES_MAX:
        return StreamAck(last, tuple(holes))
    return StreamAck(holes[HOLES_MAX][0] - 1, tuple(holes[:HOLES_MAX]))


def within(ack: StreamAck, last: int) -> StreamAck:
    """Return what an ack says of the numbers up to `last`."""
    if ack.through <= last:
        return ack
    holes = tuple((low, min(high, last)) for low, high in ack.holes if low <= last)
    return StreamAck(last, holes)


def acked_set(ack: StreamAck) -> SeqSet:
    """Return the sequence numbers that an ack says are durable."""
    acked = SeqSet()
    if ack.through >= 1:
        acked.add(1, ack.through)
    for first, last in ack.holes:
        acked.discard(first, last)
    return acked
