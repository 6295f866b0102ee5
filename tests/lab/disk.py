"""A small disk for one folder: a tmpfs that can be filled."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

BALLAST = "ballast"
TRIES = 20
_MOUNTS = Path("/proc/self/mounts")


class Disk:
    """The disk at a folder; nothing is there until `mount`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mount(self, size_mb: int) -> None:
        """Make the folder a disk of its own."""
        self._folder.mkdir(mode=0o700)
        _run("mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "lwlab", self._folder)

    def fill(self) -> None:
        """Leave not a byte free."""
        with (self._folder / BALLAST).open("wb") as file:
            for _ in range(TRIES):
                left = os.statvfs(self._folder)
                with suppress(OSError):  # who writes here took some of it meanwhile
                    begin = file.seek(0, os.SEEK_END)
                    os.posix_fallocate(file.fileno(), begin, left.f_bavail * left.f_frsize)

    def clear(self) -> None:
        """Give back what `fill` took."""
        (self._folder / BALLAST).unlink(missing_ok=True)


def unmount_below(folder: Path) -> None:
    """Unmount every disk in a folder, whatever still uses it."""
    mounts = (line.split()[1] for line in _MOUNTS.read_text().splitlines())
    for path in sorted(mounts, reverse=True):
        if Path(path).is_relative_to(folder):
            subprocess.run(["umount", "-l", path], capture_output=True, check=False)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip()
        raise RuntimeError(f"cannot run {' '.join(map(str, command))!r} for the lab: {said}")
