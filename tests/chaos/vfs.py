"""Lets a `Disk` see every write, truncation and sync of SQLite, and refuse it.

A VFS of SQLite that passes everything on to the usual one; for files below a
disk's folder it stands before xWrite, xTruncate, xSync and xDelete. It also
gives SQLite its randomness, so that a run is the same each time. Source:
sqlite.org/vfs.html; the structs are stable since 3.7.
"""

import _sqlite3
import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_void_p, cast, memmove
from typing import Any

from tests.chaos.disk import CutError, Disk, NoRoomError, ReadOnlyError, SyncFailedError
from tests.chaos.tracked import Tracked

OK, IOERR, FULL = 0, 10, 13
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = 778, 1034, 1546, 2570
_METHODS = 19
_CLOSE, _WRITE, _TRUNCATE, _SYNC = 1, 3, 4, 5

# A name goes on as the pointer that it came as: SQLite keeps it, and looks around it.
_Open = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Randomness = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
_Close = ctypes.CFUNCTYPE(c_int, c_void_p)
_Write = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = ctypes.CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = ctypes.CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("path_bytes_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app_data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("access", c_void_p),
        ("full_pathname", c_void_p),
        ("dl", c_void_p * 4),
        ("randomness", c_void_p),
        ("rest", c_void_p * 7),
    )


def _library() -> ctypes.CDLL:
    """Return the very SQLite that Python's sqlite3 uses."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        library.sqlite3_vfs_unregister.argtypes = [c_void_p]
        library.sqlite3_randomness.argtypes = [c_int, c_void_p]
    except AttributeError as error:
        raise RuntimeError(
            "cannot stand between SQLite and its disk: this Python hides its SQLite; "
            "use one that links libsqlite3, such as Debian's python3"
        ) from error
    return library


class DiskVfs:
    """The VFS; there is one a process, and the disks come and go."""

    def __init__(self) -> None:
        self._library = _library()
        self._usual = self._library.sqlite3_vfs_find(None)
        self._disks: dict[str, Disk] = {}
        self._rng = random.Random(0)
        self._files: dict[int, tuple[Disk, Tracked, Any]] = {}
        self._methods: dict[int, Any] = {}
        usual = self._usual.contents
        self._usual_open = cast(usual.open, _Open)
        self._usual_delete = cast(usual.delete, _Delete)
        # Whoever calls into SQLite holds these for good: it keeps plain pointers to them.
        self._callbacks = (
            _Open(self._open),
            _Delete(self._delete),
            _Randomness(self._randomness),
            _Close(self._close),
            _Write(self._write),
            _Truncate(self._truncate),
            _Sync(self._sync),
        )
        self._vfs = _Vfs()
        memmove(byref(self._vfs), self._usual, ctypes.sizeof(_Vfs))
        self._vfs.name = b"chaos"
        self._vfs.open = cast(self._callbacks[0], c_void_p)
        self._vfs.delete = cast(self._callbacks[1], c_void_p)
        self._vfs.randomness = cast(self._callbacks[2], c_void_p)

    @contextmanager
    def serving(self, disks: list[Disk], rng: random.Random) -> Iterator[None]:
        """Stand before those disks; every database that is opened meanwhile is closed in it."""
        self._disks = {f"{disk.root}/": disk for disk in disks}
        self._rng = rng
        self._library.sqlite3_vfs_register(byref(self._vfs), 1)
        self._library.sqlite3_randomness(0, None)
        try:
            yield
        finally:
            self._library.sqlite3_vfs_register(self._usual, 1)
            self._library.sqlite3_vfs_unregister(byref(self._vfs))
            self._library.sqlite3_randomness(0, None)
            self._disks = {}

    def _disk_of(self, name: int | None) -> tuple[Disk | None, str]:
        path = "" if name is None else ctypes.string_at(name).decode()
        found = (disk for root, disk in self._disks.items() if path.startswith(root))
        return next(found, None), path

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        disk, path = self._disk_of(name)
        if disk is not None and disk.dead:
            return IOERR
        code: int = self._usual_open(cast(self._usual, c_void_p), name, file, flags, out)
        if code == OK and disk is not None:
            slot = cast(file, POINTER(c_void_p))
            usual = slot[0]
            assert usual is not None
            slot[0] = cast(self._methods_over(usual), c_void_p).value
            self._files[file] = (disk, disk.track(path), self._methods[usual])
        return code

    def _methods_over(self, usual: int) -> Any:
        """Return a copy of SQLite's table of a file's methods, with ours in four places."""
        if usual not in self._methods:
            table = (c_void_p * _METHODS)()
            memmove(table, usual, ctypes.sizeof(table))
            originals = (
                cast(table[_CLOSE] or 0, _Close),
                cast(table[_WRITE] or 0, _Write),
                cast(table[_TRUNCATE] or 0, _Truncate),
            )
            for place, callback in zip(
                (_CLOSE, _WRITE, _TRUNCATE, _SYNC), self._callbacks[3:], strict=True
            ):
                table[place] = cast(callback, c_void_p).value
            self._methods[usual] = (table, originals)
        return self._methods[usual][0]

    def _close(self, file: int) -> int:
        _, _, (_, originals) = self._files.pop(file)
        code: int = originals[0](file)
        return code

    def _write(self, file: int, data: int, count: int, offset: int) -> int:
        disk, tracked, (_, originals) = self._files[file]
        growth = max(0, offset + count - tracked.size)

        def write() -> int:
            disk.change(more_bytes=growth)
            tracked.write(offset, ctypes.string_at(data, count))
            code: int = originals[1](file, data, count, offset)
            return code

        return _coded(write, IOERR_WRITE)

    def _truncate(self, file: int, size: int) -> int:
        disk, tracked, (_, originals) = self._files[file]

        def truncate() -> int:
            disk.change()
            tracked.truncate(size)
            code: int = originals[2](file, size)
            return code

        return _coded(truncate, IOERR_TRUNCATE)

    def _sync(self, file: int, _flags: int) -> int:
        disk, tracked, _ = self._files[file]

        def sync() -> int:
            disk.check_sync()
            tracked.sync()
            return OK

        return _coded(sync, IOERR_FSYNC)

    def _delete(self, _vfs: int, name: int, sync_folder: int) -> int:
        disk, path = self._disk_of(name)

        def delete() -> int:
            if disk is not None:
                disk.change()
                disk.forget(path)
            code: int = self._usual_delete(cast(self._usual, c_void_p), name, sync_folder)
            return code

        return _coded(delete, IOERR_DELETE)

    def _randomness(self, _vfs: int, count: int, out: int) -> int:
        memmove(out, self._rng.randbytes(count), count)
        return count


def _coded(function: Callable[[], int], failed: int) -> int:
    """Return SQLite's code for what `function` raises: nothing may pass through C."""
    try:
        return function()
    except NoRoomError:
        return FULL
    except (ReadOnlyError, SyncFailedError, CutError):
        return failed
