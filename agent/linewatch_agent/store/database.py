"""Opening the store's file: lock, settings, schema, and setting a damaged one aside.

A damaged store is never a reason not to measure, and never deleted: it is
renamed, kept for recovery, and a new epoch begins. Its path comes from the
state folder alone, never from the configuration of what to measure.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from linewatch_core.errors import LinewatchError

STORE_FILE = "store.sqlite"
SUSPECT_FILE = "store.suspect"
LOCK_FILE = "store.lock"
SCHEMA_VERSION = 1
PAGE_BYTES = 4096


class StoreError(LinewatchError):
    """The store cannot be used; the message says why and what to do."""


class StoreFullError(StoreError):
    """The disk, or the bound on the store, has no room for this."""


class StoreDamagedError(StoreError):
    """SQLite found the file damaged while it ran; the next start sets it aside."""


class Database:
    """A connection whose errors are ours, with transactions and a few named values."""

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        self._connection = connection
        self.directory = directory

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run one statement; use it inside `guarded` or `transaction`."""
        return self._connection.execute(sql, values)

    def get(self, key: str) -> Any:
        """Return a named value, or None."""
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, value: object) -> None:
        """Keep a named value."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def get_or_set(self, key: str, default: Any) -> Any:
        """Return a named value; keep and return `default` where there is none."""
        value = self.get(key)
        if value is None:
            self.set(key, default)
            return default
        return value

    def pages(self) -> tuple[int, int]:
        """Return how many pages are used, and how many are free within the file."""
        with self.guarded():
            total = self.execute("PRAGMA page_count").fetchone()[0]
            free = self.execute("PRAGMA freelist_count").fetchone()[0]
        return total - free, free

    def close(self) -> None:
        """Close the connection."""
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
        except sqlite3.OperationalError as error:
            raise _operational(self.directory, error) from error
        except sqlite3.DatabaseError as error:
            (self.directory / SUSPECT_FILE).touch()
            raise StoreDamagedError(
                f"{self.directory / STORE_FILE} is damaged ({error}): start the agent again, "
                "it sets the file aside and goes on"
            ) from error


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database; `set_aside` names the damaged file that it replaces, if any."""

    db: Database
    set_aside: Path | None


def lock_directory(directory: Path) -> int:
    """Make sure that one agent uses this store; return the descriptor that holds the lock.

    Raises:
        StoreError: another agent holds it, or the folder can't be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(describe_os_error(directory, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(
            f"cannot use {directory}: another agent is running on it; stop that one first"
        ) from error
    return lock


def open_database(directory: Path) -> Opened:
    """Open or create the store's database in `directory`.

    Raises:
        StoreError: the folder is not writable, the disk is full, or the file is
            of a newer release.
    """
    path = directory / STORE_FILE
    set_aside = None
    if (directory / SUSPECT_FILE).exists():
        set_aside = _set_aside(directory)
    try:
        return _connect(path, set_aside)
    except sqlite3.OperationalError as error:
        raise _operational(directory, error) from error
    except sqlite3.DatabaseError:
        set_aside = _set_aside(directory)
    try:
        return _connect(path, set_aside)
    except sqlite3.DatabaseError as error:
        raise _operational(directory, error) from error


def is_full(error: sqlite3.Error) -> bool:
    """Return whether SQLite says that there is no room."""
    return getattr(error, "sqlite_errorcode", None) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
    )


def describe_full(directory: Path) -> str:
    """Return one line that says that the disk is full and what to do."""
    return (
        f"cannot use {directory}: no space left on the disk; "
        "free at least 64 MB there, or choose another folder with --state"
    )


def describe_os_error(directory: Path, error: OSError) -> str:
    """Return one line that says what is wrong with the state folder and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return describe_full(directory)
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"cannot use {directory}: permission denied; run as the user that owns it, "
            "or choose another folder with --state"
        )
    if error.errno == errno.EROFS:
        return (
            f"cannot use {directory}: the file system is read-only; "
            "check the card (dmesg), or choose another folder with --state"
        )
    return f"cannot use {directory}: {error.strerror}"


def _connect(path: Path, set_aside: Path | None) -> Opened:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # page_size has to come first; FULL makes each commit survive a power cut.
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA cache_size = -1024")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"cannot use {path}: a newer release made it (schema {version}, "
                f"this one knows {SCHEMA_VERSION}); install that release again"
            )
        if version == 0:
            schema = resources.files(__package__).joinpath("schema.sql").read_text()
            db.executescript(f"BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        db.execute("SELECT count(*) FROM meta").fetchone()
    except BaseException:
        db.close()
        raise
    path.chmod(0o600)
    return Opened(Database(db, path.parent), set_aside)


def _set_aside(directory: Path) -> Path | None:
    """Rename the store's files to the first free `store.sqlite.damaged-N`."""
    number = 1
    while (directory / f"{STORE_FILE}.damaged-{number}").exists():
        number += 1
    target = directory / f"{STORE_FILE}.damaged-{number}"
    moved = None
    for suffix in ("", "-wal", "-shm"):
        source = directory / f"{STORE_FILE}{suffix}"
        if source.exists():
            source.rename(f"{target}{suffix}")
            moved = target
    (directory / SUSPECT_FILE).unlink(missing_ok=True)
    return moved


def _operational(directory: Path, error: sqlite3.Error) -> StoreError:
    if is_full(error):
        return StoreFullError(describe_full(directory))
    return StoreError(
        f"cannot use {directory / STORE_FILE}: {error}; check that the folder is writable, "
        "or choose another one with --state"
    )
