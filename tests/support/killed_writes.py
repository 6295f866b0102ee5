"""Runs first boot over and over, each time killed one write later.

    python -m tests.support.killed_writes CARD FOLDER

CARD has the folders `boot` and `root`; FOLDER/1, FOLDER/2 … get copies of it in which
first boot was killed right before its first, second … write, until it was not killed at
all. A write is a call that changes what is on a disk: sync, rename, removal, a new
folder, an overwriting.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from linewatch_agent.first_boot import first_boot

WRITES = ("fsync", "rename", "unlink", "mkdir", "pwrite", "chown", "fork")


def main(card: Path, folder: Path) -> None:
    """Make the copies."""
    count, killed = 0, True
    while killed:
        count += 1
        copy = shutil.copytree(card, folder / str(count))
        child = os.fork()
        if child == 0:
            _set_traps(count)
            first_boot(copy / "boot", copy / "root")
            os._exit(0)
        killed = os.waitpid(child, 0)[1] != 0


def _set_traps(count: int) -> None:
    left = count

    def trap(name: str) -> None:
        original = getattr(os, name)

        def trapped(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(os, name, trapped)

    for each in WRITES:
        trap(each)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
