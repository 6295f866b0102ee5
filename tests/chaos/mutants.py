"""Ways to break the product, each of which the simulator must find: the check on the checker.

A mutant is a patch for the length of one block; no file changes. `python -m
tests.chaos --mutant NAME` shows what a broken promise looks like.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import msgspec

from linewatch_agent.plan.waiting import Waiting
from linewatch_agent.store import journal, opening, room
from linewatch_agent.store.database import Database
from linewatch_agent.store.store import Store
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync import ingestor
from linewatch_core.sync.acks import stream_ack
from linewatch_core.sync.messages import StreamAck
from linewatch_core.sync.order import Turns
from linewatch_core.sync.upload_talk import Command, Event, Published, SaveAck, Send
from linewatch_core.sync.uploader import Uploader
from linewatch_server import ingest
from linewatch_server.archive.writer import ArchiveWriter
from tests.chaos import probe

Patch = AbstractContextManager[Any]


def free_on_puback() -> Patch:
    """A PUBACK counts as storage."""
    handle = Uploader.handle

    def mutant(self: Uploader, event: Event, now: float) -> list[Command]:
        commands = handle(self, event, now)
        if isinstance(event, Published):
            acked = self._streams[event.stream].acked
            acked.add(event.first, event.last)
            commands.append(SaveAck(event.stream, stream_ack(acked)))
        return commands

    return patch.object(Uploader, "handle", mutant)


def skip_store_sync() -> Patch:
    """The store commits without a sync."""
    original = opening._open

    def mutant(directory: Any) -> Database:
        database = original(directory)
        database.execute("PRAGMA synchronous = OFF")
        return database

    return patch.object(opening, "_open", mutant)


def forget_gaps() -> Patch:
    """The store gives up what was never acked, and tells nobody."""
    return patch.object(room, "_gaps_of", lambda *_, **__: ())


def skip_archive_sync() -> Patch:
    """The server acknowledges what is only in its page cache."""
    return patch.object(ArchiveWriter, "sync", lambda _: None)


def ack_over_holes() -> Patch:
    """The server says `everything up to` and forgets the holes."""

    def mutant(held: SeqSet) -> StreamAck:
        return StreamAck(held.last() or 0)

    return patch.object(ingestor, "stream_ack", mutant)


def ignore_a_restore() -> Patch:
    """The probe never believes that the server has less than it once said."""
    original = Uploader._take_ack

    def mutant(self: Uploader, ack: Any, now: float) -> list[Command]:
        streams = {}
        for stream, said in ack.streams.items():
            before = self._streams[stream].acked.last() or 0
            streams[stream] = said if said.through >= before else StreamAck(before)
        return original(self, msgspec.structs.replace(ack, streams=streams), now)

    return patch.object(Uploader, "_take_ack", mutant)


def no_opening_gap() -> Patch:
    """A start says nothing of the time before it."""
    return patch.object(Store, "opening_gap", lambda *_, **__: None)


def drop_the_journal() -> Patch:
    """The frames that a cut left are thrown away."""
    return patch.object(journal, "load_journal", lambda *_, **__: None)


def commit_twice() -> Patch:
    """What was committed while the disk was short of room stays in memory, and goes again."""
    original = Waiting.stored

    def mutant(self: Waiting, count: int) -> None:
        original(self, count - 1 if len(self) > 20 else count)

    return patch.object(Waiting, "stored", mutant)


def samples_before_events() -> Patch:
    """Old samples go first."""
    original: Callable[..., Send | None] = Turns.choose

    def mutant(self: Turns, streams: Any, now: float, **flags: bool) -> Send | None:
        oldest = streams[Stream.RAW].pending().first()
        if oldest is not None:
            return Send(Stream.RAW, oldest)
        return original(self, streams, now, **flags)

    return patch.object(Turns, "choose", mutant)


def ignore_the_copy() -> Patch:
    """A start does not look for what a killed run left in memory."""
    return patch.object(probe, "read_spare", lambda *_, **__: None)


def store_duplicates() -> Patch:
    """The server does not look whether it has a segment."""

    def mutant(*_: Any, **__: Any) -> ingestor.Judgement:
        return ingestor.Judgement(ingestor.Decision.STORE)

    return patch.object(ingest, "judge", mutant)


MUTANTS: Sequence[Callable[[], Patch]] = (
    free_on_puback,
    skip_store_sync,
    forget_gaps,
    skip_archive_sync,
    ack_over_holes,
    ignore_a_restore,
    no_opening_gap,
    drop_the_journal,
    commit_twice,
    samples_before_events,
    store_duplicates,
    ignore_the_copy,
)
