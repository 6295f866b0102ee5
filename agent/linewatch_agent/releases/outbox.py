"""The files that the agent fetches for root: resumed after a power cut, handed over whole.

The order is what counts: the archive gets its name when its hash is right, and the word
`ready`, which wakes root, is written last.
"""

import hashlib
import os
from pathlib import Path

from linewatch_agent.durable import write_whole
from linewatch_agent.releases.places import (
    ARCHIVE_FILE,
    MANIFEST_FILE,
    PROVED_FILE,
    READY_FILE,
)
from linewatch_core.release.manifest import Archive

PART_FILE = "archive.part"
_READ_BYTES = 256 * 1024


class Outbox:
    """The agent's side of root's inbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, manifest: bytes) -> int:
        """Take up a release; return how many bytes of its archive are there already."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = self._folder / MANIFEST_FILE
        if not kept.exists() or kept.read_bytes() != manifest:
            for name in (READY_FILE, ARCHIVE_FILE, PART_FILE):
                (self._folder / name).unlink(missing_ok=True)
            write_whole(kept, manifest)
        part, archive = self._folder / PART_FILE, self._folder / ARCHIVE_FILE
        if archive.exists():
            # Killed before root was told: it is looked at again, not fetched again.
            archive.rename(part)
        return part.stat().st_size if part.exists() else 0

    def add(self, start: int, data: bytes) -> int:
        """Write bytes of the archive where they belong; return how many are there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with open(os.open(self._folder / PART_FILE, flags, 0o600), "r+b") as file:
            file.truncate(start)
            file.seek(start)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return start + len(data)

    def hand_over(self, archive: Archive, version: str) -> bool:
        """Give the archive to root if it is the one that was signed; else throw it away."""
        part = self._folder / PART_FILE
        if part.stat().st_size != archive.bytes or _digest(part) != archive.sha256:
            part.unlink()
            return False
        part.rename(self._folder / ARCHIVE_FILE)
        self._say_ready(version)
        return True

    def remind(self) -> bool:
        """Wake root again if a release waits for it; return whether one does."""
        try:
            version = (self._folder / READY_FILE).read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return False
        self._say_ready(version.strip())
        return True

    def prove(self, version: str) -> None:
        """Say that the agent of this version had a segment of its own acknowledged."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(self._folder / PROVED_FILE, f"{version}\n".encode())

    def _say_ready(self, version: str) -> None:
        write_whole(self._folder / READY_FILE, f"{version}\n".encode())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()
