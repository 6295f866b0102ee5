"""Root puts a release in place that the agent fetched: checks it anew, unpacks, flips.

Safe to be killed anywhere: each step is done again or found done. Invariants: nothing of
the inbox is run before its signature and hash were checked on root's own copy; `current`
leads to a whole release all the time.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from linewatch_agent.releases.compiling import compile_release
from linewatch_agent.releases.gate import is_proved
from linewatch_agent.releases.inbox import Inbox
from linewatch_agent.releases.machine import machine_tag
from linewatch_agent.releases.memory import read_memory, write_memory
from linewatch_agent.releases.places import (
    ARCHIVE_FILE,
    MANIFEST_FILE,
    PROVED_FILE,
    READY_FILE,
    Places,
)
from linewatch_agent.releases.shelf import Shelf, version_of
from linewatch_agent.releases.standing import InstallError, read_key, standing_of
from linewatch_agent.releases.trial import Trial, read_trial, write_trial
from linewatch_agent.releases.trying import try_out
from linewatch_agent.releases.unpack import UnpackError, unpack
from linewatch_core.errors import LinewatchError
from linewatch_core.release.manifest import MANIFEST_BYTES_MAX, Archive, Manifest, open_manifest
from linewatch_core.release.rules import refusal

COPY_FILE = "archive.copy"
SPACE_MARGIN_BYTES = 64 * 1024 * 1024
"""Left free: the store's evidence comes first."""
COMPILED_SHARE = 2
"""A release takes up to so many times its files, with Python's compiled form."""
_PART_BYTES = 256 * 1024


class Installer:
    """Root's work on what lies in the inbox."""

    def __init__(self, shelf: Shelf, restart: Callable[[], None] = lambda: None) -> None:
        """Prepare; `restart` has the agent start anew, and does not wait for it."""
        self._shelf = shelf
        self._restart = restart
        self._places: Places = shelf.places
        self._inbox = Inbox(self._places.inbox)

    def settle(self) -> str | None:
        """End the trial of a release that has proved itself; return its version."""
        trial = read_trial(self._places)
        if trial is None or trial.version != self._shelf.current():
            return None
        if not is_proved(self._places, trial):
            return None
        write_trial(self._places, None)
        self._prune(trial)
        return trial.version

    def install(self) -> str | None:
        """Put what is ready in place; return its version, or None if nothing is ready.

        Raises:
            LinewatchError: it is refused; the inbox is empty then, and the agent told why.
            OSError: a full disk, say; it can be tried again.
        """
        if self._inbox.word(READY_FILE) is None:
            return None
        data = b""
        try:
            data = self.read_manifest()
            manifest = open_manifest(data, read_key(self._places))
            if self._is_flipped(manifest):
                self._remember(manifest)
            else:
                self.put_in_place(manifest)
        except LinewatchError as error:
            digest = hashlib.sha256(data).hexdigest()
            memory = read_memory(self._places).with_refused(digest, str(error))
            write_memory(self._places, memory)
            self.empty_inbox()
            raise
        except OSError:
            # A full disk, say: the store needs the room more than a release half unpacked.
            self._clear()
            raise
        # Before the inbox is emptied: killed in between, all of this is done again.
        self._restart()
        self.empty_inbox()
        self._prune(read_trial(self._places))
        return manifest.version

    def put_in_place(self, manifest: Manifest) -> None:
        """Make a release of what was signed, and let it run on trial."""
        self.check(manifest)
        archive = manifest.archives[machine_tag()]
        if not self._shelf.is_whole(manifest.version):
            self.unpack(self.copy(archive), manifest, archive)
        self.begin_trial(manifest)
        self.flip(manifest)

    def read_manifest(self) -> bytes:
        """Return the manifest's bytes as they lie in the inbox."""
        with self._inbox.open(MANIFEST_FILE) as file:
            return file.read(MANIFEST_BYTES_MAX + 1)

    def check(self, manifest: Manifest) -> None:
        """Raise InstallError if the release is not for this machine as it stands."""
        reason = refusal(manifest, standing_of(self._shelf))
        if reason is not None:
            raise InstallError(f"release refused: {reason}")

    def copy(self, archive: Archive) -> Path:
        """Return root's own copy of the archive, which nobody can change once it is checked."""
        self._check_space(archive)
        target = self._places.state / COPY_FILE
        self._places.state.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        digest = hashlib.sha256()
        left = archive.bytes
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with (
            self._inbox.open(ARCHIVE_FILE) as source,
            open(os.open(target, flags, 0o600), "wb") as to,
        ):
            while left and (part := source.read(min(left, _PART_BYTES))):
                digest.update(part)
                to.write(part)
                left -= len(part)
        if left or digest.hexdigest() != archive.sha256:
            target.unlink()
            raise InstallError("release refused: the archive is not the one that was signed")
        return target

    def unpack(self, copy: Path, manifest: Manifest, archive: Archive) -> None:
        """Make a whole release of the archive, one that was seen to start on this machine."""
        folder = self._shelf.unfinished(manifest.version)
        with copy.open("rb") as file:
            unpack(file, folder, bytes_max=archive.unpacked_bytes)
        if version_of(folder) != manifest.version:
            raise UnpackError(f"it says that it is {version_of(folder)}, not {manifest.version}")
        compile_release(folder)
        try_out(folder, manifest.version)
        self._shelf.finish(folder, manifest.version)
        copy.unlink()

    def begin_trial(self, manifest: Manifest) -> None:
        """Write down that the release is to prove itself, and what to go back to."""
        previous = standing_of(self._shelf).version
        trial = read_trial(self._places)
        if trial is not None and trial.version == previous:
            # Not proved either: what to go back to stays what it was.
            previous = trial.previous
        self._inbox.remove(PROVED_FILE)
        write_trial(self._places, Trial(manifest.version, previous, manifest.created))

    def flip(self, manifest: Manifest) -> None:
        """Let the release run from the agent's next start on."""
        self._shelf.flip(manifest.version)
        self._remember(manifest)

    def empty_inbox(self) -> None:
        """Delete what the agent brought; the word that it is ready goes first."""
        self._inbox.remove(READY_FILE, ARCHIVE_FILE, MANIFEST_FILE)
        (self._places.state / COPY_FILE).unlink(missing_ok=True)

    def _clear(self) -> None:
        (self._places.state / COPY_FILE).unlink(missing_ok=True)
        self._shelf.prune(self._shelf.versions())

    def _is_flipped(self, manifest: Manifest) -> bool:
        """Return whether we were killed right after the flip to this very release."""
        trial = read_trial(self._places)
        return trial is not None and trial.version == manifest.version == self._shelf.current()

    def _remember(self, manifest: Manifest) -> None:
        write_memory(self._places, read_memory(self._places).took(manifest.created))

    def _prune(self, trial: Trial | None) -> None:
        """Keep what runs, what to go back to, and the package's own."""
        current = self._shelf.current()
        keep = {current, version_of(self._places.package), trial.previous if trial else None}
        self._shelf.prune(one for one in keep if one is not None)

    def _check_space(self, archive: Archive) -> None:
        disk = os.statvfs(self._places.opt)
        needed = COMPILED_SHARE * archive.unpacked_bytes + archive.bytes + SPACE_MARGIN_BYTES
        free = disk.f_bavail * disk.f_frsize
        if free < needed:
            raise InstallError(
                f"release refused: {free // 1_000_000} MB are free, it needs {needed // 1_000_000}"
            )
