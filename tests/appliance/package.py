"""The agent's Debian package for this machine, built once per content of the checkout.

Without compression and without other machines' libraries, so that it takes a second;
`make deb` builds what is handed out. Kept in .cache/deb, the newest few.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from tools.deb.__main__ import CACHE, PROJECT
from tools.deb.package import NAME, make_package
from tools.deb.tree import make_tree
from tools.deb.wheels import Target, fetch

BUILT = PROJECT / ".cache" / "deb"
EPOCH = 1_767_225_600
HERE = (Target(os.uname().machine, "3.13"),)
_KEPT = 8
_SOURCES = ("core", "agent", "systemd", "tools/deb", "requirements.lock", "pyproject.toml")


def package(version: str = "0.1.0") -> Path:
    """Return a package of that version with the code of this checkout."""
    made = BUILT / f"{NAME}_{version}_{content_digest()}.deb"
    if not made.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as work:
            unfinished = Path(work, "package.deb")
            build(unfinished, version=version)
            unfinished.rename(made)
        for old in sorted(BUILT.glob("*.deb"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    return made


def build(made: Path, *, version: str, project: Path = PROJECT) -> None:
    """Build a package beside the folders that the work leaves."""
    release = make_release(made.parent / "release", version=version, project=project)
    make_package(
        project,
        release,
        made.parent / "package",
        made,
        version=version,
        epoch=EPOCH,
        compression="none",
    )


def make_release(folder: Path, *, version: str, project: Path = PROJECT) -> Path:
    """Return a release's folder with the code of a checkout."""
    all_wheels = [fetch(project, target, CACHE) for target in HERE]
    make_tree(project, folder, version=version, epoch=EPOCH, all_wheels=all_wheels)
    return folder


def content_digest() -> str:
    """Return what tells one content of the checkout from another."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        top = PROJECT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(PROJECT)}\0{path.stat().st_mode}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
