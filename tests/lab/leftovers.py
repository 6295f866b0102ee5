"""Names that tell whose a lab is, and the removal of labs whose process has gone.

A name carries the process id and its start time, so that neither a living lab
nor anything that is not a lab's is ever touched. A lab killed with -9 leaves
namespaces and a folder; its children die with it.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.lab.disk import unmount_below

PREFIX = "lwlab"
_NETNS = Path("/run/netns")
_MARKED = re.compile(rf"{PREFIX}-(\d+)-(\d+)-\d+(?:-[a-z0-9_]+)?")
_counter = itertools.count(1)


def new_marker() -> str:
    """Return what the names of a new lab of this process begin with."""
    return f"{PREFIX}-{os.getpid()}-{_started_at(os.getpid())}-{next(_counter)}"


def sweep() -> list[str]:
    """Remove what labs of ended processes have left; return the names."""
    folders = [Path(tempfile.gettempdir()), _NETNS]
    stale = [p for folder in folders if folder.is_dir() for p in folder.iterdir() if _is_stale(p)]
    for path in stale:
        if path.parent == _NETNS:
            remove_netns(path.name)
        else:
            unmount_below(path)
            shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in stale)


def remove_netns(name: str) -> None:
    """End what runs in a namespace of a lab, and remove it; nothing if it is gone."""
    if not _MARKED.fullmatch(name):
        raise ValueError(f"cannot remove {name}: it is no namespace of a lab")
    listed = subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    )
    for pid in map(int, listed.stdout.split()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _is_stale(path: Path) -> bool:
    match = _MARKED.fullmatch(path.name)
    return match is not None and _started_at(int(match[1])) != int(match[2])


def _started_at(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot, or None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
