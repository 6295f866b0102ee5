"""Puts a release's libraries on Python's path, and starts one of its programs.

Shared by the files in bin/. Knows nothing of what it starts. The release is the one that
the start file really lies in, whatever `current` leads to later: code that is imported
late comes from the same release. Standard library only.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from linewatch_agent.releases.machine import machine, machine_tag

DEBIAN_LIBRARIES = "/usr/lib/python3/dist-packages"
LACKING_FILE = "LACKING"
"""Beside a machine's libraries: a line for each one without a wheel, as `module package`."""
NO_PACKAGE = "-"
"""Stands for the package where Debian has none."""


def start(start_file: str, module: str, function: str = "main") -> int:
    """Run `module`'s function with the libraries of the release that `start_file` is of."""
    release = Path(os.path.realpath(start_file)).parents[1]
    problem = add_libraries(release / "lib")
    if problem:
        name = os.path.basename(start_file)
        print(f"{name}: cannot start: {problem}", file=sys.stderr)
        return 1
    code: int = getattr(importlib.import_module(module), function)()
    return code


def add_libraries(lib: Path) -> str | None:
    """Put the libraries of this machine on the path; return what is wrong, if anything."""
    native = lib / machine_tag()
    if not native.is_dir():
        there = sorted(path.name for path in lib.iterdir() if "-cp" in path.name)
        return (
            f"this release has no native part for {native.name} (machine and Python; it has "
            f"{', '.join(there)}); install a Linewatch package that was made for this system"
        )
    # After lib/common, which the start file put first.
    sys.path[1:1] = [str(native), str(lib / machine())]
    return _borrow(native / LACKING_FILE)


def _borrow(lacking: Path) -> str | None:
    """Let Debian's own packages stand in for libraries without a wheel for this machine."""
    if not lacking.exists():
        return None
    sys.path.append(DEBIAN_LIBRARIES)
    rows = [line.split() for line in lacking.read_text("ascii").splitlines()]
    absent = [(module, package) for module, package in rows if _is_absent(module)]
    nowhere = [module for module, package in absent if package == NO_PACKAGE]
    if nowhere:
        return (
            f"this release lacks {', '.join(nowhere)} for {lacking.parent.name}, and Debian has "
            "none; install a package that was built with the wheels for it (docs/probe.md)"
        )
    if absent:
        packages = " ".join(package for _, package in absent)
        return f"this machine lacks libraries; run: sudo apt-get install {packages}"
    return None


def _is_absent(module: str) -> bool:
    return importlib.util.find_spec(module) is None
