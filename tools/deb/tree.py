"""A release's folder: our code, the libraries, the start files; the same bytes each time.

Nothing in it depends on when, where or by whom it was made, but `BUILT`, which is
SOURCE_DATE_EPOCH. Libraries are unpacked, not installed: pip would write paths of this
machine into them.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.deb.wheels import Wheels

START = Path(__file__).parent / "start"
DEBIAN_NAMES = {
    "cffi": ("cffi", "python3-cffi"),
    "dbus-fast": ("dbus_fast", "python3-dbus-fast"),
    "msgspec": ("msgspec", "-"),
    "psutil": ("psutil", "python3-psutil"),
    "pynacl": ("nacl", "python3-nacl"),
}
"""Libraries that lack wheels for some machine: the module, and the package of Debian's, if any."""
OPTIONAL = {"dbus-fast"}
"""Imported only where a modem is: the agent starts without."""
_SOURCES = {".c", ".h", ".pxd", ".pyi", ".pyx"}
"""What wheels carry for whoever builds or checks them; nothing reads it where they run."""
_SLOW_WILL_DO = {"dbus_fast"}
"""Libraries whose compiled parts stay behind: each has the same in Python beside it. Their
code would be resident, 1.9 MB of dbus-fast, for 40 messages a round."""
_UNUSED = {"RECORD", "INSTALLER", "REQUESTED", "WHEEL", "top_level.txt", "entry_points.txt"}


def make_tree(
    project: Path, folder: Path, *, version: str, epoch: int, all_wheels: Sequence[Wheels]
) -> None:
    """Make a release in an empty folder.

    Args:
        epoch: when it was built, in seconds of UTC.
        all_wheels: the libraries of each kind of machine that it is for.
    """
    common = folder / "lib" / "common"
    common.mkdir(parents=True)
    for source in (project / "core/linewatch_core", project / "agent/linewatch_agent"):
        shutil.copytree(source, common / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(START / "linewatch_start.py", common)
    about = common / f"linewatch-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: linewatch\nVersion: {version}\n")
    shutil.copy(project / "LICENSE", about)
    for wheels in all_wheels:
        _add_wheels(folder / "lib", wheels, everywhere=_everywhere(all_wheels))
    _add_start_files(folder / "bin")
    (folder / "VERSION").write_text(f"{version}\n")
    (folder / "BUILT").write_text(f"{epoch}\n")
    _tidy(folder, epoch)
    (folder / "MANIFEST").write_text(_manifest(folder))
    _tidy(folder, epoch)


def _everywhere(all_wheels: Sequence[Wheels]) -> set[str]:
    """Return the names of wheels without native code that every target has."""
    names = [{wheel.name for wheel in wheels.found} for wheels in all_wheels]
    return {name for name in set.intersection(*names) if name.endswith("-none-any.whl")}


def _add_wheels(lib: Path, wheels: Wheels, *, everywhere: set[str]) -> None:
    native = lib / wheels.target.tag
    native.mkdir()
    for wheel in wheels.found:
        # The same wheel serves every Python from some version on.
        any_python = "-abi3-" in wheel.name
        into = wheels.target.machine if any_python else wheels.target.tag
        _unpack(wheel, lib / ("common" if wheel.name in everywhere else into))
    rows = [DEBIAN_NAMES[name] for name in wheels.lacking if name not in OPTIONAL]
    if wheels.lacking:
        (native / "LACKING").write_text("".join(f"{module} {deb}\n" for module, deb in rows))


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        for name in sorted(file.namelist()):
            top, _, rest = name.partition("/")
            unused = top.endswith(".dist-info") and rest in _UNUSED
            unused |= top in _SLOW_WILL_DO and name.endswith(".so")
            if name.endswith("/") or unused or Path(name).suffix in _SOURCES:
                continue
            if top.endswith(".data"):
                raise SystemExit(f"cannot use {wheel.name}: {name} belongs elsewhere")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(name))


def _add_start_files(folder: Path) -> None:
    folder.mkdir()
    for path in START.iterdir():
        if path.suffix == "" and path.is_file():
            shutil.copy(path, folder)


def _tidy(folder: Path, epoch: int) -> None:
    """Give every file the same owner's rights and the same time, whatever umask and clock."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            path.chmod(0o755 if path.parent == folder / "bin" else 0o644)
            os.utime(path, (epoch, epoch))
        Path(at).chmod(0o755)
        os.utime(at, (epoch, epoch))


def _manifest(folder: Path) -> str:
    """Return names and hashes of all files, as sha256sum(1) checks them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
    )
