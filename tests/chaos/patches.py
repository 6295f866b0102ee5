"""Puts the simulated disk and clock under the product's own code, for one run at a time.

What is replaced is what touches the machine: calls of `os` on files below a
disk's folder, the free space, the clocks, the randomness of block keys. Sizes
and times of the store are scaled down, so that a full disk takes moments to fill.
"""

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

from structlog.testing import capture_logs

from linewatch_agent import clock
from linewatch_agent.plan import retention
from linewatch_agent.store import blocks, opening, reserve, room
from tests.chaos.disk import Disk, NoRoomError, ReadOnlyError, SyncFailedError

KIB = 1024
SCALED = (
    (room, "_SPARE_BYTES", 24 * KIB),
    (room, "RESERVE_BYTES", 64 * KIB),
    (reserve, "RESERVE_BYTES", 64 * KIB),
    (opening, "WAL_PAGES", 32),
    (retention, "KEEP_ACKED_MS", 600_000),
    (retention, "_LOG_STEP_MS", 30_000),
)
"""The reserve stays twice the WAL at its usual greatest, as in the product; what is acked is
preferred to stay ten minutes, not two days."""


@dataclass(slots=True)
class Clock:
    """The monotonic clock of the world, and of the probe's present boot."""

    now_s: float = 0.0
    boot_s: float = 0.0

    def mono_s(self) -> float:
        """Return the probe's monotonic time in seconds."""
        return self.now_s - self.boot_s

    def mono_ms(self) -> int:
        """Return the probe's monotonic time in ms."""
        return round(self.mono_s() * 1000)


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


class _Secrets:
    """Stands for the module `secrets` in store/blocks.py."""

    def __init__(self, rng: random.Random) -> None:
        self.token_bytes = rng.randbytes


@contextmanager
def patched(disks: list[Disk], clock_now: Clock, rng: random.Random) -> Iterator[None]:
    """Let the product's code run on those disks and that clock; its logs are dropped."""
    system = _System(disks)
    with ExitStack() as stack:
        enter = stack.enter_context
        for name in ("open", "write", "fsync", "rename", "unlink", "ftruncate", "posix_fallocate"):
            enter(patch.object(os, name, getattr(system, name)))
        enter(patch.object(shutil, "disk_usage", system.disk_usage))
        enter(patch.object(clock, "mono_s", clock_now.mono_s))
        enter(patch.object(clock, "mono_ms", clock_now.mono_ms))
        enter(patch.object(blocks, "secrets", _Secrets(rng)))
        for module, name, value in SCALED:
            enter(patch.object(module, name, value))
        enter(capture_logs())
        yield


class _System:
    """The calls of `os` that write; those on other files pass."""

    def __init__(self, disks: list[Disk]) -> None:
        self._roots = [(str(disk.root), disk) for disk in disks]
        self._os: dict[str, Callable[..., Any]] = {
            name: getattr(os, name)
            for name in ("open", "write", "fsync", "rename", "unlink", "ftruncate")
        }
        self._os["posix_fallocate"] = os.posix_fallocate
        self._usage = shutil.disk_usage

    def _disk(self, path: str) -> Disk | None:
        for root, disk in self._roots:
            if path.startswith(root):
                return disk
        return None

    def _at(self, descriptor: int) -> tuple[Disk | None, str]:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        return self._disk(path), path

    def open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        disk = self._disk(os.fspath(path)) if not isinstance(path, int) else None
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if disk is not None and writes and disk.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        descriptor: int = self._os["open"](path, flags, *rest, **options)
        return descriptor

    def write(self, descriptor: int, data: Any) -> int:
        disk, path = self._at(descriptor)
        if disk is not None:
            room = disk.room_bytes()
            if 0 < room < len(data):
                data = data[:room]
            _told(path, lambda: disk.change(more_bytes=len(data)))
        written: int = self._os["write"](descriptor, data)
        return written

    def fsync(self, descriptor: int) -> None:
        disk, path = self._at(descriptor)
        if disk is None:
            self._os["fsync"](descriptor)
            return
        _told(path, lambda: _sync(disk))
        if os.path.isfile(path):
            disk.note_synced(path)

    def rename(self, source: Any, target: Any, **options: Any) -> None:
        disk = self._disk(os.fspath(source))
        if disk is not None:
            _told(os.fspath(source), disk.change)
        self._os["rename"](source, target, **options)

    def unlink(self, path: Any, **options: Any) -> None:
        disk = self._disk(os.fspath(path))
        if disk is not None and os.path.exists(path):
            _told(os.fspath(path), disk.change)
            disk.forget(os.fspath(path))
        self._os["unlink"](path, **options)

    def ftruncate(self, descriptor: int, length: int) -> None:
        disk, path = self._at(descriptor)
        if disk is not None:
            _told(path, disk.change)
        self._os["ftruncate"](descriptor, length)

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        disk, path = self._at(descriptor)
        if disk is not None:
            _told(path, lambda: disk.change(more_bytes=length))
        self._os["posix_fallocate"](descriptor, offset, length)

    def disk_usage(self, path: Any) -> Any:
        disk = self._disk(os.fspath(path))
        if disk is None:
            return self._usage(path)
        free = disk.room_bytes()
        return _Usage(free, 0, free)


def _sync(disk: Disk) -> None:
    disk.check_sync()
    if disk.capacity_bytes is not None and disk.used_bytes() > disk.capacity_bytes:
        raise NoRoomError


def _told(path: str, function: Callable[[], None]) -> None:
    """Run `function`; turn the disk's refusals into what the system would say."""
    try:
        function()
    except NoRoomError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from None
    except ReadOnlyError:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path) from None
    except SyncFailedError:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path) from None
