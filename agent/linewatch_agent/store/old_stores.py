"""Hands the server, by itself, what stores that were set aside still hold whole.

One segment at a time, and only while nothing of the present store waits. What the server
has of an old epoch it tells with its first ack of it, so a segment of each stream is sent
to learn that. A store is done when all that it gave is acknowledged; its file stays.
Not kept over a restart: where it was in a file that is not done.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from linewatch_agent.durable import write_whole
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.opening import FORKED_SUFFIX, damaged_stores
from linewatch_agent.store.salvage import salvage_by_steps
from linewatch_core.ids import ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import Ack

log = structlog.get_logger()

DONE_SUFFIX = ".sent"
"""Beside a damaged store: the server has all that could be read of it."""
PATIENCE_S = 300.0
"""A connection on which a segment was not acknowledged for so long is given up."""
TRIES = 3
"""After so many such connections in a row nothing is sent until the next start: a server of an
older release acknowledges no older epoch."""

_Chain: TypeAlias = tuple[str, Stream]


@dataclass(frozen=True, slots=True)
class OldSegment:
    """A segment of an older epoch."""

    epoch: str
    stream: Stream
    first: int
    last: int
    data: bytes


class OldStores:
    """What is to be sent of the stores that were set aside in a state folder."""

    def __init__(self, directory: Path, *, probe: ProbeId, keys: SigningKeys) -> None:
        """Look which there are; nothing is read yet."""
        self._probe = probe
        self._keys = keys
        self._left = [path for path in damaged_stores(directory) if not _beside(path).exists()]
        self._reading: Iterator[bytes | None] | None = None
        self._in_hand: OldSegment | None = None
        self._sent_s: float | None = None
        self._has: dict[_Chain, SeqSet] = {}
        self._unheard = 0
        self.sent = 0

    def is_done(self) -> bool:
        """Return whether nothing is left to be sent."""
        return not self._left

    def begin(self) -> None:
        """A new connection: what is in hand is to be sent again."""
        self._sent_s = None

    def take(self, now_s: float) -> OldSegment | None:
        """Return what to send now, or None: read on later. Call it on the store's thread."""
        if self._in_hand is None:
            self._read_on()
        elif self._sent_s is not None:
            return None
        if self._in_hand is not None:
            self._sent_s = now_s
        return self._in_hand

    def is_overdue(self, now_s: float) -> bool:
        """Return whether the connection is to be given up: what was sent is not acknowledged."""
        if self._sent_s is None or now_s - self._sent_s < PATIENCE_S:
            return False
        self._sent_s = None
        self._unheard += 1
        if self._unheard >= TRIES:
            log.warning("old_stores_left", reason="the server acknowledges nothing of them")
            self._left.clear()
        return True

    def acked(self, ack: Ack) -> None:
        """Take what the server says of any epoch."""
        for stream, said in ack.streams.items():
            self._has[ack.epoch, stream] = acked_set(said)
        one = self._in_hand
        if one is None or self._sent_s is None or ack.epoch != one.epoch:
            return
        if one.stream in ack.streams and self._covers(one):
            self._in_hand, self._sent_s = None, None
            self._unheard = 0
            self.sent += 1

    def _read_on(self) -> None:
        """Read up to the next segment that the server may lack, or for a while."""
        path = self._left[0]
        if self._reading is None:
            self._reading = salvage_by_steps(path, probe=self._probe, keys=self._keys)
        try:
            for data in self._reading:
                if data is None:
                    return
                header = parse_segment(data).header
                one = OldSegment(
                    header.epoch, header.stream, header.first_seq, header.last_seq, data
                )
                if is_forked(path) or not self._covers(one):
                    self._in_hand = one
                    return
        except OSError as error:
            log.warning("old_store_unreadable", store=path.name, reason=error.strerror)
        else:
            log.info("old_store_sent", store=path.name, segments=self.sent)
            # On a full disk it is read again after the next start: the server takes nothing twice.
            with contextlib.suppress(OSError):
                write_whole(_beside(path), b"")
        self._left.pop(0)
        self._reading = None

    def _covers(self, one: OldSegment) -> bool:
        has = self._has.get((one.epoch, one.stream))
        return has is not None and has.covers(one.first, one.last)


def is_forked(path: Path) -> bool:
    """Return whether a store was set aside since the server has another story of it.

    Then an ack of its numbers may be about that: all of it is sent, and the server
    sorts out what it has.
    """
    return path.with_name(path.name + FORKED_SUFFIX).exists()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + DONE_SUFFIX)
