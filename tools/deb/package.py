"""The Debian package: a release in /opt/linewatch/package, the system's files, the scripts.

Built by dpkg-deb alone. Two builds of the same sources are the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.deb.placing import Placed, enabled_units, placed_files

NAME = "linewatch-agent"
DEBIAN = Path(__file__).parent / "debian"
PACKAGE_FOLDER = "opt/linewatch/package"
COMMANDS = ("linewatch", "linewatch-agent")
GATE = "linewatch-release-gate.service"


def make_package(
    project: Path,
    release: Path,
    work: Path,
    target: Path,
    *,
    version: str,
    epoch: int,
    compression: str = "xz",
) -> None:
    """Write the package.

    Args:
        compression: as dpkg-deb knows it; `none` is for tests.
        release: a release's folder, as `make_tree` made it.
        work: a folder that is not there yet.
        target: the .deb to write.
    """
    shutil.copytree(release, work / PACKAGE_FOLDER)
    placed = placed_files(project / "systemd")
    for one in placed:
        path = work / one.to
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one.source, path)
        path.chmod(one.mode)
    _add_links(work, placed)
    _add_documents(project, work)
    sums = _sums(work)
    _add_control(work, version=version, units=list(enabled_units(placed)))
    (work / "DEBIAN/md5sums").write_text(sums)
    _same_times(work, epoch)
    command = ["dpkg-deb", "--root-owner-group", "--threads-max=1", f"-Z{compression}"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(
        [*command, "--build", work, target], check=True, env=environment, stdout=subprocess.DEVNULL
    )


def _add_links(work: Path, placed: list[Placed]) -> None:
    commands = work / "usr/bin"
    commands.mkdir(parents=True)
    for name in COMMANDS:
        (commands / name).symlink_to(f"/opt/linewatch/current/bin/{name}")
    sbin = work / "usr/sbin"
    sbin.mkdir()
    (sbin / "linewatch-release").symlink_to("/opt/linewatch/current/bin/linewatch-release")
    if any(one.source.name == GATE for one in placed):
        wanted = work / "usr/lib/systemd/system/linewatch-agent.service.wants"
        wanted.mkdir(parents=True)
        (wanted / GATE).symlink_to(f"../{GATE}")


def _add_documents(project: Path, work: Path) -> None:
    folder = work / "usr/share/doc" / NAME
    folder.mkdir(parents=True)
    shutil.copy(project / "LICENSE", folder / "copyright")
    example = project / "agent/linewatch_agent/linewatch.example.toml"
    (folder / "examples").mkdir()
    shutil.copy(example, folder / "examples")


def _add_control(work: Path, *, version: str, units: list[str]) -> None:
    folder = work / "DEBIAN"
    kib = sum(path.lstat().st_size for path in work.rglob("*")) // 1024
    folder.mkdir()
    words = {"@VERSION@": version, "@SIZE@": str(kib), "@UNITS@": " ".join(sorted(units))}
    for source in DEBIAN.iterdir():
        text = source.read_text()
        for word, value in words.items():
            text = text.replace(word, value)
        (folder / source.name).write_text(text)
        (folder / source.name).chmod(0o644 if source.name == "control" else 0o755)


def _sums(work: Path) -> str:
    """Return what `dpkg --verify` compares with."""
    files = sorted(path for path in work.rglob("*") if path.is_file() and not path.is_symlink())
    return "".join(
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(work)}\n"
        for path in files
    )


def _same_times(work: Path, epoch: int) -> None:
    work.chmod(0o755)
    os.utime(work, (epoch, epoch))
    for at, folders, names in os.walk(work):
        for name in (*folders, *names):
            path = Path(at, name)
            if not path.is_symlink() and path.is_dir():
                path.chmod(0o755)
            elif not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
