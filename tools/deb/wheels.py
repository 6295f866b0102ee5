"""The agent's libraries as wheels, for machines that this one is not.

Versions and hashes are requirements.lock's; pip fetches into .cache/, once. A library
without a wheel for a machine is reported, never built: the result must not depend on
the machine that makes it.
"""

import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

GLIBC_LEVELS = ("_2_5", "1", "_2_12", "2010", "_2_17", "2014", "_2_24", "_2_28", "_2_31", "_2_35")
"""Wheels' names for the C library that they need; Debian 12 has 2.36."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of machine with a Python, such as aarch64 with CPython 3.13."""

    machine: str
    python: str

    @property
    def tag(self) -> str:
        """What the release's folder is called: `aarch64-cp313`."""
        return f"{self.machine}-cp{self.python.replace('.', '')}"


@dataclass(frozen=True, slots=True)
class Wheels:
    """What was found for a target.

    Attributes:
        found: the wheels.
        lacking: names of libraries that have none.
    """

    target: Target
    found: tuple[Path, ...]
    lacking: tuple[str, ...]


def agent_libraries(project: Path, python: str) -> list[str]:
    """Return the names of all libraries that the agent needs, theirs included."""
    stated = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    waiting = [*stated["dependencies"], *stated["optional-dependencies"]["agent"]]
    environment = {"python_version": python, "extra": ""}
    names: set[str] = set()
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        if name in names or (wanted.marker and not wanted.marker.evaluate(environment)):
            continue
        names.add(name)
        waiting += importlib.metadata.requires(wanted.name) or []
    return sorted(names)


def locked(project: Path, names: list[str]) -> dict[str, str]:
    """Return the lock's lines, with hashes, for each name."""
    text = (project / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    # Whether a marker holds is known here: the target is CPython on Linux.
    pins = {entry.split("==")[0]: re.sub(r" ; [^\\]*", " ", entry) for entry in entries}
    missing = [name for name in names if name not in pins]
    if missing:
        raise SystemExit(f"cannot build: {', '.join(missing)} not in requirements.lock: make lock")
    return {name: pins[name].strip() for name in names}


def fetch(project: Path, target: Target, cache: Path, *, brought: Path | None = None) -> Wheels:
    """Return the wheels for a target, from the cache or through pip.

    Args:
        brought: a folder with wheels for what has none elsewhere; the lock's versions, but
            without its hashes: whoever brings them vouches for them.
    """
    pins = locked(project, agent_libraries(project, target.python))
    found: list[Path] = []
    lacking: list[str] = []
    for name, pin in pins.items():
        wheel = _fetch_one(pin, target, cache) or _brought(name, pin, target, brought)
        if wheel is None:
            lacking.append(name)
        else:
            found.append(wheel)
    return Wheels(target, tuple(found), tuple(lacking))


def _brought(name: str, pin: str, target: Target, folder: Path | None) -> Path | None:
    """Return the wheel of the lock's version that somebody brought for a target."""
    version = pin.partition("==")[2].split()[0]
    for path in sorted(folder.glob("*.whl")) if folder else ():
        wheel_name, wheel_version, _, tags = parse_wheel_filename(path.name)
        fits = any(
            tag.interpreter == target.tag.rpartition("-")[2] or tag.abi == "abi3" for tag in tags
        )
        machine = any(tag.platform.endswith(f"_{target.machine}") for tag in tags)
        if (wheel_name, str(wheel_version)) == (name, version) and fits and machine:
            return path
    return None


def _fetch_one(pin: str, target: Target, cache: Path) -> Path | None:
    """Return the wheel for one line of the lock; None if there is none."""
    key = hashlib.sha256(f"{GLIBC_LEVELS}{pin}".encode()).hexdigest()[:16]
    folder = cache / target.tag / key
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pin.txt").write_text(pin + "\n")
        _download(folder, target)
        done.touch()
    return next(folder.glob("*.whl"), None)


def _download(folder: Path, target: Target) -> None:
    platforms = [f"--platform=manylinux{level}_{target.machine}" for level in GLIBC_LEVELS]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--implementation=cp"),
        *(f"--python-version={target.python}", f"--dest={folder}", *platforms),
        f"--requirement={folder / 'pin.txt'}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode and "No matching distribution" not in result.stderr:
        raise SystemExit(f"cannot fetch the wheels for {target.tag}:\n{result.stderr}")
