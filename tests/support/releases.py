"""Small releases for tests: folders whose programs only say their version, archives, signatures.

And a probe's file tree below a folder, on which root's part works as on a real one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from linewatch_agent.releases.machine import machine, machine_tag
from linewatch_agent.releases.outbox import Outbox
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_core.release.manifest import Archive, Manifest, sign_manifest
from tools.deb.archive import write_archive
from tools.deb.wheels import Target

KEY = SigningKey(bytes(range(32)))
PUBLIC = bytes(KEY.verify_key).hex()
BUILT_S = 1_000
"""When the releases made here say that they were built; manifests are signed later."""
HERE = Target(machine(), machine_tag().rpartition("-cp")[2].replace("3", "3.", 1))


@dataclass(frozen=True, slots=True)
class Made:
    """A release as the operator publishes it."""

    version: str
    archive: bytes
    manifest: bytes


def release_folder(folder: Path, version: str, *, says: str | None = None) -> Path:
    """Make a release whose programs say `says` (its version) when they are asked for it."""
    (folder / "lib/common").mkdir(parents=True, exist_ok=True)
    (folder / "lib/common/code.py").write_text(f"VERSION = {version!r}\n")
    (folder / "bin").mkdir()
    for name in ("linewatch-agent", "linewatch-release"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\necho {says or version}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "VERSION").write_text(f"{version}\n")
    (folder / "BUILT").write_text(f"{BUILT_S}\n")
    (folder / "MANIFEST").write_text(f"of {version}, {says}\n")
    return folder


def made_release(
    work: Path,
    version: str,
    *,
    says: str | None = None,
    created_s: int = BUILT_S + 1,
    downgrade: bool = False,
    key: SigningKey = KEY,
) -> Made:
    """Return a release as it is published; `work` is an empty folder."""
    folder = release_folder(work / "release", version, says=says)
    write_archive(folder, HERE, work / "archive", epoch=BUILT_S)
    data = (work / "archive").read_bytes()
    archive = Archive(
        url="archive.tar.xz",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        unpacked_bytes=100_000,
    )
    manifest = Manifest(
        version=version,
        created=created_s,
        python="3.11",
        archives={machine_tag(): archive},
        downgrade=downgrade,
    )
    return Made(version, data, sign_manifest(manifest, key))


def probe_tree(root: Path, *versions: str) -> Shelf:
    """Make a probe's tree on which the last of `versions` runs, and the first is the package's."""
    shelf = Shelf(Places(root))
    places = shelf.places
    for folder in (places.releases, places.state, places.inbox, places.key.parent):
        folder.mkdir(parents=True)
    places.key.write_text(f"{PUBLIC}\n")
    release_folder(places.package, versions[0])
    for version in versions:
        release_folder(shelf.folder(version), version)
    shelf.flip(versions[-1])
    return shelf


def hand_over(places: Places, made: Made) -> None:
    """Put a release into root's inbox, as the agent does when it has all of it."""
    outbox = Outbox(places.inbox)
    outbox.begin(made.manifest)
    outbox.add(0, made.archive)
    archive = Archive(
        url="x",
        sha256=hashlib.sha256(made.archive).hexdigest(),
        bytes=len(made.archive),
        unpacked_bytes=1,
    )
    assert outbox.hand_over(archive, made.version)


def starts(shelf: Shelf) -> str:
    """Return what the agent that `current` leads to says of itself, having been started."""
    import subprocess

    program = shelf.places.current / "bin/linewatch-agent"
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()
