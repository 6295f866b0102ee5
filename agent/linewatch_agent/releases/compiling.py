"""Python's compiled form of a release, made where it runs. Standard library only.

The agent is not root and may not write beside its own code; without this, each start
would compile everything anew. The interpreter that runs this is the one that will run
the release, so the form always fits.
"""

import compileall
import py_compile
from pathlib import Path

from linewatch_agent.releases.machine import machine, machine_tag


def compile_release(folder: Path) -> None:
    """Compile what this machine runs of a release; what does not compile is left as it is."""
    for name in ("common", machine(), machine_tag()):
        compileall.compile_dir(
            folder / "lib" / name,
            maxlevels=32,
            quiet=2,
            stripdir=str(folder),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
