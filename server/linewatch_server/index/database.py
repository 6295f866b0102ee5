"""Opens the index's SQLite file, for its one writer and for any number of readers.

WAL, so that pages read while segments arrive. `synchronous=NORMAL` is enough:
a power cut may take the last transactions back, each with the `applied_through`
that it saved, and the archive, which is synced before anything is acknowledged,
gives them again. The file is a projection; losing it loses time, not records.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

from linewatch_core.errors import LinewatchError

INDEX_NAME = "index.sqlite"
SCHEMA_VERSION = 4
"""Raised with every change of schema.sql or of what is written; an older file is rebuilt."""


_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}


class IndexFullError(LinewatchError):
    """There is no room for what was to be applied; nothing of it was."""


class IndexOutdatedError(LinewatchError):
    """The index is not a projection of this archive by this release: rebuild it."""


class IndexUnreadableError(LinewatchError, sqlite3.DatabaseError):
    """There is no index of this release to read: a command says so, a page asks for patience."""


def open_writer(path: Path) -> sqlite3.Connection:
    """Return a connection for the one writer; make the tables if the file is new.

    It may be used from any thread, by one at a time.

    Raises:
        IndexOutdatedError: another version of the schema made the file, or it is damaged.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            schema = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
            connection.executescript(
                f"BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise IndexOutdatedError(f"cannot use {path}: {_other_version(version)}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise IndexOutdatedError(f"cannot use {path}: {error}") from None
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes, or none of it.

    Raises:
        IndexFullError: the disk takes no more.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        # SQLite ends a transaction by itself on some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if getattr(error, "sqlite_errorcode", None) in _FULL:
            raise IndexFullError(
                "cannot store: no space left on the disk of the index; free some or move it"
            ) from error
        raise


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads one consistent state of the index, and writes nothing.

    Raises:
        IndexUnreadableError: it is not there, damaged, or of another release.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise IndexUnreadableError(_unreadable(path, _other_version(version)))
            connection.execute("BEGIN")
            yield connection
    except sqlite3.DatabaseError as error:
        if isinstance(error, IndexUnreadableError):
            raise
        raise IndexUnreadableError(_unreadable(path, error)) from error


def _unreadable(path: Path, reason: object) -> str:
    if not path.exists():
        reason = "there is none yet"
    return (
        f"cannot read the index {path}: {reason}; it is made by the next start of the server, "
        "or by linewatch-server rebuild"
    )


def _other_version(version: int) -> str:
    return f"its version is {version}, this release reads and writes {SCHEMA_VERSION}"
