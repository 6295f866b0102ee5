"""The releases on the disk and the link to the one that runs. Standard library only.

Invariants: a folder with a version's name is whole and on the disk, since it got its name
last; `current` is replaced by a rename, so it leads to the old release or to the new one.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from linewatch_agent.durable import sync_folder
from linewatch_agent.releases.places import Places
from linewatch_core.release.version import is_version, version_key

VERSION_FILE = "VERSION"
BUILT_FILE = "BUILT"
FILES_FILE = "MANIFEST"
"""Names and hashes of all files of a release."""
_UNFINISHED = ".new-"


class Shelf:
    """The releases of one probe."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def versions(self) -> list[str]:
        """Return the versions that are there whole, oldest first."""
        try:
            names = os.listdir(self.places.releases)
        except FileNotFoundError:
            return []
        whole = (name for name in names if is_version(name) and self.is_whole(name))
        return sorted(whole, key=version_key)

    def is_whole(self, version: str) -> bool:
        """Return whether a release can be run."""
        return version_of(self.folder(version)) == version

    def folder(self, version: str) -> Path:
        """Return where a release lies, or would."""
        return self.places.releases / version

    def current(self) -> str | None:
        """Return the version that runs, or None if the link leads to no whole release."""
        try:
            target = self.places.current.readlink()
        except OSError:
            return None
        version = target.name
        inside = (self.places.opt / target).parent == self.places.releases
        return version if inside and is_version(version) and self.is_whole(version) else None

    def flip(self, version: str) -> None:
        """Make `current` lead to a release, durably and at once.

        Raises:
            OSError: it can't be done; the link is what it was.
        """
        self.point_at(self.folder(version))

    def point_at(self, folder: Path) -> None:
        """Make `current` lead to a folder beside it or below, as `flip` does."""
        beside = self.places.current.with_name(f"{_UNFINISHED}current")
        beside.unlink(missing_ok=True)
        beside.symlink_to(folder.relative_to(self.places.opt))
        beside.rename(self.places.current)
        sync_folder(self.places.opt)

    def unfinished(self, version: str) -> Path:
        """Return an empty folder in which a release can be made."""
        folder = self.places.releases / f"{_UNFINISHED}{version}"
        self.places.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755)
        return folder

    def finish(self, folder: Path, version: str) -> None:
        """Give a release that was made its name, once all of it is on the disk."""
        sync_tree(folder)
        there = self.folder(version)
        if there.exists():
            # Not whole, or it would not be made again.
            shutil.rmtree(there)
        folder.rename(there)
        sync_folder(self.places.releases)

    def prune(self, keep: Iterable[str]) -> None:
        """Delete every release but those of `keep`, and what was left unfinished."""
        kept = set(keep)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.places.releases):
                if name not in kept:
                    self._delete(self.places.releases / name)

    def _delete(self, folder: Path) -> None:
        """Delete a release; one that is half deleted is no whole one."""
        (folder / VERSION_FILE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def version_of(folder: Path) -> str | None:
    """Return the version that a release's folder says it is; None if it is none."""
    try:
        said = (folder / VERSION_FILE).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return said if is_version(said) else None


def built_s(folder: Path) -> int:
    """Return when a release was built, in seconds of UTC; 0 where it does not say."""
    try:
        return int((folder / BUILT_FILE).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def sync_tree(folder: Path) -> None:
    """Have every file and name below a folder on the disk."""
    for at, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(at, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(at))
