"""A look into a store whose agent is not running: how much it keeps. Changes nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

from linewatch_agent.store.database import STORE_FILE, StoreError
from linewatch_agent.store.opening import lock_directory, open_database
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.tables import load_stream
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.acks import acked_set


@dataclass(frozen=True, slots=True)
class Peek:
    """What a store keeps.

    Attributes:
        committed: records ever committed, per stream.
        backlog: records kept whole that the server is not known to have.
        bytes: what the file takes.
    """

    committed: dict[Stream, int]
    backlog: int
    bytes: int


def peek(directory: Path) -> Peek:
    """Return what the store in `directory` keeps.

    Raises:
        StoreError: there is none, an agent is running on it, or it can't be read.
    """
    if not (directory / STORE_FILE).exists():
        raise StoreError(f"cannot look into {directory}: no store is there")
    lock = lock_directory(directory)
    try:
        db = open_database(directory).db
        try:
            with db.reading():
                streams = {stream: load_stream(db, stream) for stream in Stream}
                journal = dict(
                    db.execute("SELECT stream, max(last_seq) FROM frame GROUP BY stream")
                )
                held = Summary.load(db).ranges()
        finally:
            db.close()
    finally:
        os.close(lock)
    kept = {stream: SeqSet() for stream in Stream}
    for one in held:
        kept[one.stream].add(one.first, one.last)
    unsent = 0
    committed = {}
    for stream, row in streams.items():
        sealed = row.head.next_seq - 1
        committed[stream] = max(sealed, journal.get(stream, 0))
        waiting = kept[stream].difference(acked_set(row.ack)).count()
        unsent += waiting + committed[stream] - sealed
    return Peek(committed, unsent, (directory / STORE_FILE).stat().st_size)
