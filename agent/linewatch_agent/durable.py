"""Writes files that a power cut leaves whole: the old one, the new one, never a part.

A file's bytes are on the disk before its name is; the name is when its folder is
synced. Source: fsync(2), rename(2).
"""

import os
from pathlib import Path

PRIVATE = 0o600
"""For what only the agent may read."""


def write_whole(path: Path, data: bytes, *, suffix: str = ".new", mode: int = PRIVATE) -> None:
    """Put a file there durably, in place of one that may be there.

    Args:
        suffix: of the name beside it that it has until it is whole.
    Raises:
        OSError: it can't be written; what was there before is there still.
    """
    unfinished = path.with_name(path.name + suffix)
    write_synced(unfinished, data, mode=mode)
    unfinished.rename(path)
    sync_folder(path.parent)


def write_synced(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file whose bytes are on the disk then; its name may not be yet.

    Raises:
        OSError: it can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk.

    Raises:
        OSError: it can't be synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
