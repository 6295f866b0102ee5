"""Hands out the segments that a carrier lacks, from an open store. Changes no ack.

What the server is known to have is left out unless everything is wanted. The
key certificates come first: without them nobody can check the rest.
"""

from collections.abc import Iterator, Mapping

import msgspec

from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import Store
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.acks import acked_set


class Wanted(msgspec.Struct, frozen=True):
    """What a carrier asks for.

    Attributes:
        everything: also what the server has.
        have: by epoch and stream, the first and last numbers of what the carrier has.
    """

    everything: bool = False
    have: Mapping[str, Mapping[Stream, tuple[tuple[int, int], ...]]] = {}


ORDER = (Stream.EV, Stream.ROLL, Stream.RAW)
"""The order of the sync: a stick with little room takes the outage's shape first."""


def _wanted_ranges(store: Store, wanted: Wanted) -> Iterator[tuple[Stream, int, int]]:
    """Yield stream, first and last number of what is to be given, in the order to give it."""
    held = {stream: SeqSet() for stream in Stream}
    for one in store.held():
        held[one.stream].add(one.first, one.last)
    acks = store.acks()
    have = wanted.have.get(store.epoch, {})
    for stream in ORDER:
        rest = held[stream].difference(SeqSet(have.get(stream, ())))
        if not wanted.everything:
            rest = rest.difference(acked_set(acks[stream]))
        for first, last in rest:
            yield stream, first, last


def give(store: Store, keys: SigningKeys, wanted: Wanted) -> Iterator[bytes]:
    """Yield key certificates, then every segment that is wanted."""
    yield from keys.messages_after(None)
    for stream, first, last in list(_wanted_ranges(store, wanted)):
        seq = first
        while seq <= last:
            loaded = store.load(stream, seq)
            seq += 1
            if loaded is not None:
                where, data = loaded
                yield data
                seq = where.last + 1
