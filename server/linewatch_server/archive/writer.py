"""The archive's one writer: appends, syncs, closes full packs, sets a torn tail aside.

Touches DIR/archive/ and nothing else. Invariant: once `sync` has returned, what
was appended is on the disk; an append that finds no room leaves no trace; a
tail torn by a power cut is moved beside its pack, never dropped. Source:
docs/decisions/0006-archive-packs.md.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from linewatch_server.archive.reader import (
    Archive,
    ArchiveError,
    ArchiveFullError,
    ArchiveLockedError,
)
from linewatch_server.model.entries import (
    HEADER_BYTES,
    PACK_MAGIC,
    ArchiveEntry,
    EntryKind,
    Location,
    encode_entry,
    find_entry,
)

PACK_BYTES_MAX = 64 << 20
"""A pack is closed before it would grow past this: small enough to copy and to re-check."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_FILE = -1


class ArchiveWriter(Archive):
    """The one writer of an archive. Close it, or use it as a context manager.

    Attributes:
        torn: the files that a torn tail was moved to when this writer was opened.
    """

    def __init__(self, directory: Path, *, pack_bytes_max: int = PACK_BYTES_MAX) -> None:
        """Open DIR/archive for appending; make it if it is not there.

        Raises:
            ArchiveLockedError: another process writes it.
            ArchiveDamagedError: the last pack is damaged before its tail.
        """
        super().__init__(directory)
        self._pack_bytes_max = pack_bytes_max
        self.torn: list[Path] = []
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _fsync_path(directory)
        self._lock = _take_lock(self.directory)
        self._failed = False
        self._file, self._pack, self._size = _NO_FILE, 0, 0
        self._sha256 = hashlib.sha256()
        self._synced = (0, self._sha256.copy())
        try:
            self._open_last_pack()
        except BaseException:
            self._release()
            raise

    def append(self, kind: EntryKind, payload: bytes, arrival_ms: int) -> Location:
        """Write one entry at the end; durable only once `sync` has returned.

        Raises:
            ArchiveFullError: no room; nothing of this entry was kept, what was
                appended before it was.
        """
        self._check_usable()
        data = encode_entry(ArchiveEntry(kind, arrival_ms, payload))
        if self._size > len(PACK_MAGIC) and self._size + len(data) > self._pack_bytes_max:
            self._close_pack()
        if self._file == _NO_FILE:
            self._create_pack(self._pack + 1)
        first = PACK_MAGIC if self._size == 0 else b""
        location = Location(self._pack, self._size + len(first))
        self._write(first + data)
        return location

    def sync(self) -> None:
        """Make everything appended so far durable. Call once a batch, before acknowledging it.

        Raises:
            ArchiveFullError: no room after all; nothing since the last sync was kept.
            ArchiveError: the disk failed. The archive must be opened anew, since
                nobody knows what reached the disk.
        """
        self._check_usable()
        if self._file == _NO_FILE:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            if error.errno in _FULL:
                self._roll_back(self._synced)
                raise self._full() from None
            self._failed = True
            raise ArchiveError(
                f"cannot store in {self.directory}: {error.strerror}; check the disk, then restart"
            ) from error
        self._synced = (self._size, self._sha256.copy())

    def close(self) -> None:
        """Sync what was appended, unless the disk has failed, and release the archive."""
        try:
            if not self._failed:
                self.sync()
        finally:
            self._release()

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _release(self) -> None:
        self._failed = True
        if self._file != _NO_FILE:
            os.close(self._file)
            self._file = _NO_FILE
        if self._lock != _NO_FILE:
            os.close(self._lock)
            self._lock = _NO_FILE

    def _check_usable(self) -> None:
        if self._failed:
            raise ArchiveError(f"cannot store in {self.directory}: the archive is closed")

    def _open_last_pack(self) -> None:
        packs = self.packs()
        for pack in packs[:-1]:
            if not self.checksum_path(pack).exists():
                raise self.damaged(pack, 0, "its checksum file is missing")
        if packs and self.checksum_path(packs[-1]).exists():
            self.pack_path(packs[-1]).chmod(0o444)
            self._pack = packs[-1]
        elif packs:
            self._continue_pack(packs[-1])

    def _continue_pack(self, pack: int) -> None:
        data = self.pack_path(pack).read_bytes()
        end = 0
        if data.startswith(PACK_MAGIC):
            end = len(PACK_MAGIC)
            for location, entry in self.entries_of(pack, end, is_last=True):
                end = location.offset + HEADER_BYTES + len(entry.payload)
        elif find_entry(data, 0) is not None:
            raise self.damaged(pack, 0, "this is no pack of Linewatch")
        if end < len(data):
            self._set_aside(pack, end, data[end:])
        self._file = os.open(self.pack_path(pack), os.O_RDWR)
        self._pack = pack
        self._sha256 = hashlib.sha256(data[:end])
        self._size = end
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        os.fsync(self._file)
        self._synced = (self._size, self._sha256.copy())

    def _set_aside(self, pack: int, offset: int, tail: bytes) -> None:
        name = f"{self.pack_path(pack).name}.{offset}-{hashlib.sha256(tail).hexdigest()[:8]}.torn"
        path = self.directory / name
        path.write_bytes(tail)
        _fsync_path(path)
        _fsync_path(self.directory)
        self.torn.append(path)

    def _create_pack(self, pack: int) -> None:
        with self._telling_full():
            self._file = os.open(self.pack_path(pack), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            self._pack, self._sha256 = pack, hashlib.sha256()
            self._synced = (0, self._sha256.copy())
            _fsync_path(self.directory)

    def _close_pack(self) -> None:
        """Close the current pack for ever: checksum first, since it is what says `closed`."""
        self.sync()
        path, checksum = self.pack_path(self._pack), self.checksum_path(self._pack)
        draft = checksum.with_suffix(".new")
        with self._telling_full():
            draft.write_text(f"{self._sha256.hexdigest()}  {path.name}\n")
            _fsync_path(draft)
        draft.rename(checksum)
        _fsync_path(self.directory)
        path.chmod(0o444)
        os.close(self._file)
        self._file, self._size = _NO_FILE, 0

    def _write(self, data: bytes) -> None:
        before = (self._size, self._sha256)
        rest = memoryview(data)
        try:
            with self._telling_full():
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except BaseException:
            self._roll_back(before)
            raise
        self._size += len(data)
        self._sha256.update(data)

    def _roll_back(self, state: "tuple[int, hashlib._Hash]") -> None:
        self._size, self._sha256 = state[0], state[1].copy()
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)

    @contextmanager
    def _telling_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise self._full() from None
            raise

    def _full(self) -> ArchiveFullError:
        return ArchiveFullError(
            f"cannot store: no space left in {self.directory}; free some or move it"
        )


def _take_lock(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ArchiveLockedError(
            f"cannot open {directory} for writing: another process has it open; "
            "stop linewatch-server first"
        ) from None
    return lock


def _fsync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
