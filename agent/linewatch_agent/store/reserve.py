"""A little room that is ours when the disk is full: a file that can be deleted.

Giving up segments needs some room itself, for the WAL and for writing it back
into the database; without it a full disk would never take another record.
"""

import contextlib
import os
import shutil
from pathlib import Path

RESERVE_FILE = "store.reserve"
RESERVE_BYTES = 512 * 1024
"""Twice the WAL at its usual greatest (opening.WAL_PAGES)."""


def has_reserve(directory: Path) -> bool:
    """Return whether the reserve is there."""
    return (directory / RESERVE_FILE).exists()


def keep_reserve(directory: Path) -> None:
    """Make the reserve if it is missing and there is plenty of room for it."""
    path = directory / RESERVE_FILE
    with contextlib.suppress(OSError):
        if path.exists() or shutil.disk_usage(directory).free < 2 * RESERVE_BYTES:
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)


def release_reserve(directory: Path) -> bool:
    """Give the reserve back to the disk; return whether there was one."""
    try:
        (directory / RESERVE_FILE).unlink()
    except OSError:
        return False
    return True
