"""Stops threads of a process, as a disk that never answers would: the others go on.

`python -m tests.appliance.stuck TID...` stops them, says `stopped` and lets them
go on when its standard input ends or it is killed. Needs root; source: ptrace(2).
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.appliance.root import ROOT

_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207
_WALL = 0x40000000


def all_but_the_first(pid: int) -> list[int]:
    """Return the ids of a process's threads but the first, in which Python's event loop runs."""
    threads = {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()}
    return sorted(threads - {pid})


@contextmanager
def stopped(threads: list[int]) -> Iterator[None]:
    """Keep threads stopped; at the end let them go on, or die if their process is dying."""
    helper = subprocess.Popen(
        [sys.executable, "-m", "tests.appliance.stuck", *map(str, threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        said = helper.stdout.readline()
        if said != b"stopped\n":
            raise RuntimeError(f"cannot stop threads {threads}: the helper said {said!r}")
        yield
    finally:
        helper.stdin.close()
        helper.wait(timeout=60)
        helper.stdout.close()


def _main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for tid in map(int, sys.argv[1:]):
        for request in (_PTRACE_SEIZE, _PTRACE_INTERRUPT):
            if libc.ptrace(request, tid, None, None) != 0:
                raise OSError(ctypes.get_errno(), "cannot stop the thread")
        os.waitpid(tid, _WALL)
    print("stopped", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
