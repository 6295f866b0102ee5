"""A disk that forgets: what was written and not synced may be gone, torn or whole after a cut.

One `Disk` stands for the card below one folder. SQLite's writes come from
vfs.py one by one; files that Python writes are known as they were at their
last fsync. It knows nothing of what the files mean. Not modelled: directory
entries that are lost or come back in another order (ext4 keeps their order).
"""

import os
import random
import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.chaos.tracked import Tracked


class CutError(BaseException):
    """The process is gone at this instruction: killed, or without power."""


class NoRoomError(Exception):
    """The disk is full."""


class ReadOnlyError(Exception):
    """The file system was remounted read-only."""


class SyncFailedError(Exception):
    """A sync reported an error: nobody knows what reached the disk."""


class End(StrEnum):
    """How a process ends: KILL keeps every write, POWER only what was synced, and some more."""

    KILL = "kill"
    POWER = "power"


@dataclass(slots=True)
class Disk:
    """The files below `root`, and the faults that are switched on.

    Attributes:
        capacity_bytes: None: there is always room.
        fuse: the process ends at so many more changes of the disk; None: it does not.
        fuse_end: how it then ends.
    """

    root: Path
    rng: random.Random
    capacity_bytes: int | None = None
    read_only: bool = False
    sync_fails: bool = False
    fuse: int | None = None
    fuse_end: End = End.POWER
    changes: int = 0
    dead: bool = False
    tracked: dict[int, Tracked] = field(default_factory=dict)
    synced: dict[int, bytes] = field(default_factory=dict)
    aftermath: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    # --- what a process does ------------------------------------------------

    def change(self, *, more_bytes: int = 0) -> None:
        """Stand for one change of the disk; raise what goes wrong with it."""
        if self.dead:
            raise CutError
        self.changes += 1
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.cut(self.fuse_end)
                raise CutError
        if self.read_only:
            raise ReadOnlyError
        if more_bytes > self.room_bytes():
            raise NoRoomError

    def check_sync(self) -> None:
        """Stand for the start of a sync."""
        self.change()
        if self.sync_fails:
            raise SyncFailedError

    def room_bytes(self) -> int:
        """Return how much more the disk takes."""
        if self.capacity_bytes is None:
            return 1 << 40
        return max(0, self.capacity_bytes - self.used_bytes())

    def used_bytes(self) -> int:
        """Return what all files take."""
        return _bytes_in(str(self.root))

    def track(self, path: str) -> Tracked:
        """Return the record of a file that SQLite opened."""
        inode = os.stat(path).st_ino
        if inode not in self.tracked:
            content = bytearray(Path(path).read_bytes())
            self.tracked[inode] = Tracked(content, len(content))
        return self.tracked[inode]

    def forget(self, path: str) -> None:
        """Drop the record of a file that is about to be deleted."""
        if os.path.exists(path):
            inode = os.stat(path).st_ino
            self.tracked.pop(inode, None)
            self.synced.pop(inode, None)

    def note_synced(self, path: str) -> None:
        """Note what a file that Python wrote holds at its fsync."""
        status = os.stat(path)
        self.synced[status.st_ino] = Path(path).read_bytes()

    def durable_bytes(self, path: Path) -> bytes:
        """Return what of a file that Python wrote would survive any cut."""
        return self.synced.get(path.stat().st_ino, b"")

    # --- what happens to it --------------------------------------------------

    def cut(self, end: End) -> None:
        """End the process now: from here on it changes nothing; `revive` shows what is left."""
        self.aftermath = {
            str(path.relative_to(self.root)): self._left(path, end)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.endswith("-shm")
        }
        self.fuse = None
        self.dead = True

    def revive(self) -> None:
        """Put in place what the cut left. Everything must be closed by now."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        for name, content in self.aftermath.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._settle()

    def replace_by(self, folder: Path) -> None:
        """Put a backup in place of all files."""
        shutil.rmtree(self.root)
        shutil.copytree(folder, self.root)
        self._settle()

    def _settle(self) -> None:
        self.tracked.clear()
        self.synced.clear()
        self.dead = False
        self.sync_fails = False
        for path in self.root.rglob("*"):
            if path.is_file():
                self.note_synced(str(path))

    def _left(self, path: Path, end: End) -> bytes:
        content = path.read_bytes()
        inode = path.stat().st_ino
        if end is End.KILL:
            return content
        if inode in self.tracked:
            return self.tracked[inode].after_power_cut(self.rng)
        durable = self.synced.get(inode, b"")
        if content == durable:
            return content
        if not content.startswith(durable):
            return self.rng.choice([content, durable])
        more = content[len(durable) :]
        kept = self.rng.choice([0, len(more), self.rng.randrange(len(more) + 1)])
        tail = more[:kept]
        if kept < len(more) and self.rng.random() < 0.3:
            # The size was written, the data was not.
            tail += bytes(self.rng.randrange(1, len(more) - kept + 1))
        return durable + tail


def _bytes_in(folder: str) -> int:
    with os.scandir(folder) as entries:
        return sum(
            _bytes_in(entry.path) if entry.is_dir() else entry.stat().st_size for entry in entries
        )
