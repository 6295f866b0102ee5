"""Writable layers over the Debian root, and their removal, also of those that a crash left.

A layer is an overlay mount in a folder named after its process (id and start
time), so a later run can tell a dead run's layers from a living one's. Ending
a layer kills what runs in its control group, then unmounts and removes it.
"""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.appliance.root import CACHE, base_root

LAYERS = CACHE / "layers"
_MARKED = re.compile(r"(\d+)-(\d+)-\d+")
_counter = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Layer:
    """A root that a test may write to; removed with all that was written.

    Attributes:
        folder: where its parts are: upper, work, root, cgroup.
        lower: the overlay's lower folders, topmost first.
    """

    folder: Path
    lower: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """Where the root is to be seen from outside, booted or not."""
        return self.folder / "root"

    @property
    def cgroup(self) -> Path:
        """The control group of all that runs in it, seen from outside."""
        return self.folder / "cgroup" / f"linewatch-test-{self.folder.name}"

    def put(self, path: str, content: str | bytes, *, mode: int = 0o644) -> Path:
        """Write a file at an absolute path of the layer, and return where it is.

        In place of a symbolic link, if one is there.
        """
        file = self._place(path)
        file.unlink(missing_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def copy(self, source: Path, path: str) -> Path:
        """Copy a file or folder to an absolute path of the layer, owned by root."""
        target = self._place(path)
        _run("cp", "-rT", "--preserve=mode,links", str(source), str(target))
        return target

    def _place(self, path: str) -> Path:
        """Return where an absolute path is, its folder made; never outside the layer.

        Raises:
            ValueError: a link on the way leads to this machine's own files.
        """
        folder = (self.path / path.lstrip("/")).parent
        if not folder.resolve().is_relative_to(self.path.resolve()):
            raise ValueError(f"cannot write {path}: a link on the way leads out of the layer")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / Path(path).name


@contextmanager
def layer(over: Layer | None = None) -> Iterator[Layer]:
    """Make a layer over the root, or over another layer that nobody writes to meanwhile."""
    sweep()
    lower = (base_root(),) if over is None else (over.folder / "upper", *over.lower)
    started = _started_at(os.getpid())
    made = Layer(LAYERS / f"{os.getpid()}-{started}-{next(_counter)}", lower)
    try:
        _mount(made)
        yield made
    finally:
        remove(made.folder)


def sweep() -> list[str]:
    """Remove the layers of processes that have ended; return their names."""
    folders = list(LAYERS.iterdir()) if LAYERS.is_dir() else []
    stale = [folder for folder in folders if _is_stale(folder.name)]
    for folder in stale:
        remove(folder)
    return sorted(folder.name for folder in stale)


def remove(folder: Path) -> None:
    """End what runs in a layer, and remove it."""
    cgroup = Layer(folder, ()).cgroup
    if cgroup.is_dir():
        end_cgroup(cgroup)
    for part in ("root", "cgroup"):
        if (folder / part).is_mount():
            _run("umount", "--recursive", "--lazy", str(folder / part))
    shutil.rmtree(folder)


def _mount(made: Layer) -> None:
    for part in ("upper", "work", "root", "cgroup"):
        (made.folder / part).mkdir(parents=True)
    lower = ":".join(map(str, made.lower))
    # volatile: what is synced here need not survive this machine's own power cut.
    options = f"lowerdir={lower},upperdir={made.folder}/upper,workdir={made.folder}/work,volatile"
    _run("mount", "-t", "overlay", "overlay", "-o", options, str(made.path))
    _run("mount", "--make-private", str(made.path))
    _run("mount", "-t", "cgroup2", "cgroup2", str(made.folder / "cgroup"))


def end_cgroup(cgroup: Path) -> None:
    """Kill what runs in a control group, and remove it with those below it."""
    (cgroup / "cgroup.kill").write_text("1")
    deadline_s = time.monotonic() + 60
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"cannot end what runs in {cgroup}: it lives on 60 s after a kill")
        time.sleep(0.01)
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(folder)


def _is_stale(name: str) -> bool:
    match = _MARKED.fullmatch(name)
    return match is not None and _started_at(int(match[1])) != int(match[2])


def _started_at(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot, or None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot run {' '.join(command)!r}: {done.stderr.strip()}")
