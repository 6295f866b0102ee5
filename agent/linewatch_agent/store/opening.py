"""Opening the store's file: lock, creation, and setting a damaged one aside.

A damaged store is never a reason not to measure, and never deleted: it is
renamed, kept for recovery, and a new epoch begins. Its path comes from the
state folder alone, never from the configuration of what to measure. Each step
may be the last before a power cut; the next start goes on from there.
"""

import errno
import fcntl
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from linewatch_agent.durable import sync_folder
from linewatch_agent.store.database import (
    FORKED,
    PAGE_BYTES,
    STORE_FILE,
    SUSPECT_FILE,
    Database,
    StoreError,
    StoreFullError,
    describe_full,
    is_damage,
    store_error,
)
from linewatch_agent.store.upgrade import SCHEMA_VERSION, schema, upgrade

LOCK_FILE = "store.lock"
NEW_FILE = "store.sqlite.new"
LOCK_LOOK_S = 0.05
FORKED_SUFFIX = ".forked"
WAL_PAGES = 256


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database; `set_aside` is the last damaged file that was set aside here, if any."""

    db: Database
    set_aside: Path | None


def lock_directory(directory: Path, *, wait_s: float = 0.0) -> int:
    """Make sure that one agent uses this store; return the descriptor that holds the lock.

    Args:
        wait_s: how long to wait for whoever holds it.
    Raises:
        StoreError: another agent holds it, or the folder can't be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise os_error(directory, error) from error
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline_s:
                time.sleep(LOCK_LOOK_S)
                continue
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
    try:
        if (directory / SUSPECT_FILE).exists():
            _set_aside(directory)
        try:
            db = _open(directory)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            _set_aside(directory)
            db = _open(directory)
        except UnicodeDecodeError:
            # SQLite's own message quoted a damaged schema, which is no text any more.
            _set_aside(directory)
            db = _open(directory)
    except sqlite3.DatabaseError as error:
        raise store_error(directory, error) from error
    except OSError as error:
        raise os_error(directory, error) from error
    return Opened(db, next(reversed(damaged_stores(directory)), None))


def os_error(directory: Path, error: OSError) -> StoreError:
    """Return the one-line error for what the system says of the state folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(describe_full(directory))
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreError(
            f"cannot use {directory}: permission denied; run as the user that owns it, "
            "or choose another folder with --state"
        )
    if error.errno == errno.EROFS:
        return StoreError(
            f"cannot use {directory}: the file system is read-only; "
            "check the card (dmesg), or choose another folder with --state"
        )
    return StoreError(
        f"cannot use {directory}: {error.strerror}; choose another folder with --state"
    )


def _open(directory: Path) -> Database:
    path = directory / STORE_FILE
    if not path.exists():
        _create(directory)
    connection = _connect(path)
    try:
        # One process uses the file (lock_directory), so the WAL's index needs no file of its own.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"cannot use {path}: a newer release made it (schema {version}, "
                f"this one knows {SCHEMA_VERSION}); install that release again"
            )
        if version < 1:
            raise sqlite3.DatabaseError(f"its schema is {version}")
        connection.execute("SELECT count(*) FROM meta").fetchone()
        # Only now is anything written: a damaged file is kept as it was found.
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL makes each commit survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        # All that is deleted was sealed: zeroing its pages would only wear the card.
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute("PRAGMA cache_size = -1024")
        # On a full disk the reserve must suffice to write back all of the WAL (reserve.py).
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        if version < SCHEMA_VERSION:
            upgrade(connection, version)
    except BaseException:
        connection.close()
        raise
    return Database(connection, directory)


def _create(directory: Path) -> None:
    """Make an empty store under another name first: a store.sqlite always has its schema."""
    new = directory / NEW_FILE
    for suffix in ("", "-journal", "-wal"):
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    # SQLite would tell a missing permission as "unable to open"; the system says why.
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(new)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(
            f"BEGIN; {schema()} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    finally:
        connection.close()
    new.rename(directory / STORE_FILE)
    sync_folder(directory)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def damaged_stores(directory: Path) -> list[Path]:
    """Return the damaged stores that were set aside in a state folder, oldest first."""
    found = [
        path
        for path in directory.glob(f"{STORE_FILE}.damaged-*")
        if path.name.rpartition("-")[2].isdecimal()
    ]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _set_aside(directory: Path) -> None:
    """Rename the store's files to the first free `store.sqlite.damaged-N`.

    The main file goes last and the mark after it, so that no power cut leaves
    a store without its WAL that looks whole.
    """
    (directory / SUSPECT_FILE).touch()
    sync_folder(directory)
    number = 1
    while (directory / f"{STORE_FILE}.damaged-{number}").exists():
        number += 1
    if number > 1 and not (directory / STORE_FILE).exists():
        number -= 1  # A power cut came between renaming it and taking the mark away.
    for suffix in ("-wal", "-shm", ""):
        source = directory / f"{STORE_FILE}{suffix}"
        if source.exists():
            source.rename(directory / f"{STORE_FILE}.damaged-{number}{suffix}")
    sync_folder(directory)
    suspect = directory / SUSPECT_FILE
    if suspect.read_bytes() == FORKED:
        suspect.rename(directory / f"{STORE_FILE}.damaged-{number}{FORKED_SUFFIX}")
    else:
        suspect.unlink()
    sync_folder(directory)
