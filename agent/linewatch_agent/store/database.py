"""The store's database: settings, transactions, and whose fault an error is.

SQLite's errors become three: no room, damaged, or cannot be used. A damaged
store is noted in `store.suspect`, so that the next start sets it aside
(`opening.py`). No table is known here but `meta`.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from linewatch_agent.durable import write_whole
from linewatch_core.errors import LinewatchError, MalformedError

STORE_FILE = "store.sqlite"
SUSPECT_FILE = "store.suspect"
FORKED = b"forked"
"""What it says of a store that is whole, but went back to an earlier state."""
PAGE_BYTES = 1024
"""Measured: a commit of ten samples writes half of what it does with 4,096."""

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
# All statements are fixed and tested, so one that the file contradicts means a damaged file.
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
}


class StoreError(LinewatchError):
    """The store cannot be used; the message says why and what to do."""


class StoreFullError(StoreError):
    """The disk takes no more; what was committed is safe."""


class StoreDamagedError(StoreError):
    """The file is damaged; the next start sets it aside."""


class Database:
    """A connection whose errors are ours, with transactions and a few named values."""

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        self._connection = connection
        self.directory = directory

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement; use it inside `guarded`, `reading` or `transaction`."""
        return self._connection.execute(sql, values)

    def get(self, key: str) -> Any:
        """Return a named value, or None."""
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, value: object) -> None:
        """Keep a named value."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def pages(self) -> tuple[int, int]:
        """Return how many pages are used, and how many are free within the file."""
        with self.guarded():
            total = self.execute("PRAGMA page_count").fetchone()[0]
            free = self.execute("PRAGMA freelist_count").fetchone()[0]
        return total - free, free

    def settle(self) -> None:
        """Write what was committed from the WAL back into the file."""
        with self.guarded():
            self.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the connection; calls after it are a bug, never damage."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction: all of it is durable afterwards, or none."""
        with self.guarded():
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self.execute("ROLLBACK")
                raise

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn SQLite's errors into StoreFullError, StoreDamagedError or StoreError."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise self.damaged(error) from error
            raise store_error(self.directory, error) from error
        except UnicodeDecodeError as error:
            # SQLite's message quoted what is no text any more.
            raise self.damaged(error) from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Like `guarded`; content that cannot be what was written counts as damage, too."""
        try:
            with self.guarded():
                yield
        except (MalformedError, msgspec.MsgspecError, ValueError, TypeError) as error:
            raise self.damaged(error) from error

    def damaged(self, reason: Exception) -> StoreDamagedError:
        """Note that the store is damaged; return (not raise) the error that says so."""
        with contextlib.suppress(OSError):
            (self.directory / SUSPECT_FILE).touch()
        return StoreDamagedError(
            f"{self.directory / STORE_FILE} is damaged ({reason}): start the agent again, "
            "it sets the file aside and goes on"
        )

    def forked(self, stream: str) -> StoreDamagedError:
        """Note that the store went back to an earlier state; return the error that says so."""
        with contextlib.suppress(OSError):
            write_whole(self.directory / SUSPECT_FILE, FORKED)
        return StoreDamagedError(
            f"{self.directory / STORE_FILE} went back to an earlier state: the server has later "
            f"records of {stream}; start the agent again, it sets the file aside and goes on"
        )


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error says that the file is not what we wrote."""
    code = _code(error)
    return code is None or code & 0xFF in _DAMAGED


def store_error(directory: Path, error: sqlite3.Error) -> StoreError:
    """Return the one-line error for what SQLite says and that is not damage."""
    if _code(error) == sqlite3.SQLITE_IOERR_WRITE:
        return StoreFullError(
            f"cannot use {directory}: the disk refuses writes; check the card (dmesg), "
            "or choose another folder with --state"
        )
    if _code(error) in _FULL:
        return StoreFullError(describe_full(directory))
    return StoreError(
        f"cannot use {directory / STORE_FILE}: {error}; check that the folder is writable, "
        "or choose another one with --state"
    )


def describe_full(directory: Path) -> str:
    """Return one line that says that the disk is full and what to do."""
    return (
        f"cannot use {directory}: no space left on the disk; "
        "free at least 64 MB there, or choose another folder with --state"
    )


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's extended code; None where Python itself could not read a value."""
    return getattr(error, "sqlite_errorcode", None)
