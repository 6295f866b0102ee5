"""Brings a store of an older release up to the present schema, in one transaction.

A power cut leaves the old store or the new one. What the old tables held is
checked like everything else once it is read: nothing is decided here.
"""

import sqlite3
from pathlib import Path

import msgspec

from linewatch_agent.store.tables import frame_id
from linewatch_core.records import Stream

SCHEMA_VERSION = 2


def schema() -> str:
    """Return the SQL that makes an empty store."""
    return Path(__file__).with_name("schema.sql").read_text()


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Make a store of `version` one of SCHEMA_VERSION.

    Raises:
        sqlite3.DatabaseError: no release made this version, or the disk refuses.
    """
    if version != 1:
        raise sqlite3.DatabaseError(f"its schema is {version}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _from_1(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _from_1(connection: sqlite3.Connection) -> None:
    """What every commit changes moves from three tables into one, which is one page."""
    run = connection.execute
    run("CREATE TABLE state (key TEXT NOT NULL, value BLOB NOT NULL) STRICT")
    run("INSERT INTO state SELECT key, value FROM meta WHERE key = 'last'")
    run("DELETE FROM meta WHERE key = 'last'")
    chains = run(
        "SELECT stream, next_seq, next_position, head_sha256, ack_through, ack_holes, ack_log "
        "FROM stream"
    ).fetchall()
    for stream, *chain, holes, log in chains:
        value = msgspec.msgpack.encode((*chain, msgspec.json.decode(holes)))
        run("INSERT INTO state VALUES (?, ?)", (f"chain.{stream}", value))
        run("INSERT INTO meta VALUES (?, ?)", (f"ack_log.{stream}", log.encode()))
    for stream, boot, wraps in run("SELECT stream, boot, wraps FROM block").fetchall():
        value = msgspec.msgpack.encode((boot, wraps))
        run("INSERT INTO state VALUES (?, ?)", (f"block.{stream}", value))
    for stream in Stream:
        run("UPDATE frame SET id = counter + ? WHERE stream = ?", (frame_id(stream, 0), stream))
    run("DROP TABLE stream")
    run("DROP TABLE block")
