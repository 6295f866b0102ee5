"""A copy, in memory that outlives the process, of what waits for the next commit.

A commit to a card costs writes, so samples wait for one; a process that is killed
must not take them with it. The copy lies on a tmpfs (systemd's RuntimeDirectory): no
block device sees it, and it is gone with the power, as what waits in memory is. It is
never on a disk. Invariant: nothing that the store has comes out of it.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from linewatch_agent.durable import PRIVATE
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body

SUFFIX = ".spare"
BYTES_MAX = 4 * 1024 * 1024
"""Some 20,000 samples, as many as may wait in memory; a tmpfs takes half of the memory or less."""
RUN_BYTES = 8
_LENGTHS = struct.Struct(">II")
_MEMORY = {"tmpfs", "ramfs"}


class Mark(msgspec.Struct, frozen=True):
    """Up to which body of which run the store has everything; bodies are counted from 1."""

    run: bytes = b""
    through: int = 0


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """Of which boot and run this is, and which run the store's last commit was of before it."""

    boot: str
    run: bytes
    run_before: bytes


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    safe_ms: int
    bodies: list[tuple[int, Body]]


@dataclass(frozen=True, slots=True)
class Spared:
    """What a killed run had measured and not committed.

    Attributes:
        safe_ms: every check that began before it is in the store, or here; 0 where the store
            lacks some that this copy counted on: then rot took commits back.
    """

    bodies: tuple[Body, ...]
    safe_ms: int


class SpareCopy:
    """The copy of one run. A tmpfs that refuses costs the copy, never a sample."""

    def __init__(
        self, folder: Path, *, epoch: Epoch, boot: BootId, run: bytes, run_before: bytes
    ) -> None:
        """Begin a copy in `folder`; the one that is there stays until the first `note`.

        Args:
            epoch: of the store.
            run: a random name of this run of the agent.
            run_before: of the run of the store's last commit; empty if there was none.
        """
        self._path = _path(folder, epoch)
        self._head = _packed(_Head(boot, run, run_before))
        self._file: int | None = None
        self._size = 0
        self.run = run
        self.through = 0

    def note(self, bodies: Sequence[tuple[int, Body]], *, safe_ms: int) -> bool:
        """Add bodies with their numbers; return whether they are in the copy.

        Args:
            safe_ms: every check that began before it is in the store or in the copy, with these.
        """
        if not bodies:
            return True
        entry = _packed(_Entry(safe_ms, list(bodies)))
        if self._size + len(entry) > BYTES_MAX:
            return False
        try:
            self._append(entry)
        except OSError:
            return False
        self.through = bodies[-1][0]
        return True

    def clear(self) -> None:
        """All that is in it is in the store."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, len(self._head))
        except OSError:
            return  # What it holds is known to be stored by its numbers.
        self._size = len(self._head)

    def close(self) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, entry: bytes) -> None:
        if self._file is None:
            self._begin(entry)
            return
        # What was written in part lies behind `_size`, and is written over.
        if os.pwrite(self._file, entry, self._size) < len(entry):
            raise OSError("the tmpfs took a part")
        self._size += len(entry)

    def _begin(self, entry: bytes) -> None:
        """Put a new file in place of an older run's, the first entry in it."""
        unfinished = self._path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(unfinished, flags, PRIVATE)
        try:
            if os.pwrite(file, self._head + entry, 0) < len(self._head) + len(entry):
                raise OSError("the tmpfs took a part")
            unfinished.rename(self._path)
        except OSError:
            os.close(file)
            raise
        self._file, self._size = file, len(self._head) + len(entry)


def read_spare(folder: Path, *, epoch: Epoch, boot: BootId, stored: Mark) -> Spared | None:
    """Return what a run of this boot left and the store lacks, or None.

    Args:
        stored: the mark of the store's last commit; an empty one if there was none.
    """
    try:
        parts = _parts(_path(folder, epoch).read_bytes())
        head = msgspec.msgpack.decode(parts[0], type=_Head) if parts else None
        if head is None or head.boot != boot:
            return None
        if stored.run not in (head.run, head.run_before):
            return None  # Of a run before the last one that committed.
        entries = [msgspec.msgpack.decode(part, type=_Entry) for part in parts[1:]]
    except (OSError, msgspec.MsgspecError):
        return None
    through = stored.through if stored.run == head.run else 0
    numbered = [one for entry in entries for one in entry.bodies]
    bodies = [body for number, body in numbered if number > through]
    if not bodies:
        return None
    is_whole = numbered[0][0] <= through + 1
    return Spared(tuple(bodies), entries[-1].safe_ms if is_whole else 0)


def open_spare(
    name: str | None, *, epoch: Epoch, boot: BootId, run: bytes, stored: Mark
) -> tuple[SpareCopy | None, Spared | None]:
    """Return a copy for this run and what the one before left; neither, where there is no memory.

    Args:
        name: $RUNTIME_DIRECTORY as systemd sets it: the first of its folders counts.
        stored: the mark of the store's last commit.
    """
    folder = memory_folder(name)
    if folder is None:
        return None, None
    copy = SpareCopy(folder, epoch=epoch, boot=boot, run=run, run_before=stored.run)
    return copy, read_spare(folder, epoch=epoch, boot=boot, stored=stored)


def memory_folder(name: str | None) -> Path | None:
    """Return the folder that systemd names if it lies in memory, or None."""
    if not name:
        return None
    folder = Path(name.split(":", maxsplit=1)[0])
    try:
        device = folder.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts:
        fields = line.split()
        if fields[2] == number:
            return folder if fields[fields.index("-") + 1] in _MEMORY else None
    return None


def _path(folder: Path, epoch: Epoch) -> Path:
    return folder / f"{epoch}{SUFFIX}"


def _packed(what: _Head | _Entry) -> bytes:
    data = msgspec.msgpack.encode(what)
    return _LENGTHS.pack(len(data), zlib.crc32(data)) + data


def _parts(data: bytes) -> list[bytes]:
    """Return the entries up to the first that is not whole: the one in hand at a kill."""
    parts, at = [], 0
    while at + _LENGTHS.size <= len(data):
        size, check = _LENGTHS.unpack_from(data, at)
        part = data[at + _LENGTHS.size : at + _LENGTHS.size + size]
        if len(part) < size or zlib.crc32(part) != check:
            break
        parts.append(part)
        at += _LENGTHS.size + size
    return parts
