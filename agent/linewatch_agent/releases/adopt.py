"""The Debian package's release becomes one of the probe's. Standard library only.

dpkg's files are linked, not moved: an upgrade of the package replaces them while the
agent runs, and the release made from them before stays whole. A release that came
over the air and is newer keeps running.
"""

import os
import shutil
from pathlib import Path

from linewatch_agent.releases.compiling import compile_release
from linewatch_agent.releases.shelf import FILES_FILE, Shelf, version_of
from linewatch_agent.releases.trial import read_trial, write_trial
from linewatch_core.errors import LinewatchError
from linewatch_core.release.version import version_key


class AdoptError(LinewatchError):
    """A package's release can't be put in place."""


def adopt(shelf: Shelf, package: Path, *, anyway: bool = False) -> bool:
    """Make a release of a package's folder; run it if it is newer than what runs.

    Args:
        anyway: run it even if it is older.
    Returns:
        Whether another release runs from now on.
    Raises:
        AdoptError: the folder holds no release.
        OSError: a full disk, say; what ran runs on.
    """
    version = version_of(package)
    if version is None:
        raise AdoptError(f"cannot use {package}: it holds no release; install the package again")
    before = shelf.current()
    if _same(package, shelf.folder(version)):
        changed = False
    else:
        unfinished = shelf.unfinished(version)
        _link_tree(package, unfinished)
        compile_release(unfinished)
        if version == before:
            # Built anew under the same number: until it is in place, the package's own runs.
            shelf.point_at(package)
        shelf.finish(unfinished, version)
        changed = version == before
    if anyway or before is None or version_key(version) >= version_key(before):
        changed = changed or version != before
        shelf.flip(version)
        write_trial(shelf.places, None)
    _tidy(shelf, version, before)
    return changed


def _same(package: Path, release: Path) -> bool:
    """Return whether a release was made of this package."""
    try:
        lists = [(folder / FILES_FILE).read_bytes() for folder in (package, release)]
    except OSError:
        return False
    return lists[0] == lists[1] and version_of(release) is not None


def _tidy(shelf: Shelf, version: str, before: str | None) -> None:
    trial = read_trial(shelf.places)
    keep = {version, before, shelf.current(), trial.previous if trial else None}
    shelf.prune(one for one in keep if one is not None)


def _link_tree(source: Path, target: Path) -> None:
    """Give every file of a tree a second name below `target`; across file systems, copy it."""

    def link(one: str, other: str) -> str:
        try:
            os.link(one, other, follow_symlinks=False)
        except OSError:
            shutil.copy2(one, other, follow_symlinks=False)
        return other

    shutil.copytree(
        source,
        target,
        copy_function=link,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
