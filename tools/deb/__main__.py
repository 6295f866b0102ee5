"""Build the agent's package and the archives of its release into dist/.

    python -m tools.deb [--version 1.2.3] [--into dist] [--only-package] [--wheels DIR]

The version is pyproject.toml's. SOURCE_DATE_EPOCH gives the time that everything in it
has; without it, that of the last commit.
"""

import argparse
import hashlib
import os
import subprocess
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from linewatch_core.release.version import is_version
from tools.deb.archive import write_archive
from tools.deb.package import NAME, make_package
from tools.deb.tree import make_tree
from tools.deb.wheels import Target, Wheels, fetch

PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / ".cache" / "wheels"
TARGETS = (
    Target("aarch64", "3.13"),
    Target("aarch64", "3.11"),
    Target("x86_64", "3.13"),
    Target("x86_64", "3.11"),
    Target("armv7l", "3.13"),
)


def main() -> None:
    """Build, and say what was built and how large it is."""
    options = _options()
    if not is_version(options.version):
        raise SystemExit(f"cannot build version {options.version!r}: expected one such as 1.4.2")
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _last_commit())
    options.into.mkdir(parents=True, exist_ok=True)
    all_wheels = [fetch(PROJECT, target, CACHE, brought=options.wheels) for target in TARGETS]
    with tempfile.TemporaryDirectory(prefix="linewatch-deb-") as work:
        release = Path(work, "release")
        make_tree(PROJECT, release, version=options.version, epoch=epoch, all_wheels=all_wheels)
        made = options.into / f"{NAME}_{options.version}_all.deb"
        package = {"version": options.version, "epoch": epoch}
        make_package(PROJECT, release, Path(work, "package"), made, **package)
        _tell(made)
        if not options.only_package:
            _write_archives(release, options, epoch)
    _tell_lacking(all_wheels)


def _write_archives(release: Path, options: argparse.Namespace, epoch: int) -> None:
    def write(target: Target) -> Path:
        made: Path = options.into / f"{NAME}-{options.version}-{target.tag}.tar.xz"
        write_archive(release, target, made, epoch=epoch)
        return made

    # Compression leaves Python's lock, so that one archive a processor is made at a time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for made in pool.map(write, TARGETS):
            _tell(made)


def _options() -> argparse.Namespace:
    stated = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    parser = argparse.ArgumentParser(description="Builds the agent's Debian package.")
    parser.add_argument("--version", default=stated)
    parser.add_argument("--into", type=Path, default=PROJECT / "dist", metavar="DIR")
    parser.add_argument("--only-package", action="store_true", help="no archives of the release")
    parser.add_argument(
        "--wheels", type=Path, metavar="DIR", help="wheels for what PyPI has none (piwheels')"
    )
    return parser.parse_args()


def _last_commit() -> int:
    """Return when the last commit was made; without git, when the version was set down."""
    command = ["git", "-C", str(PROJECT), "log", "-1", "--format=%ct"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode == 0 and told.stdout.strip():
        return int(told.stdout)
    return int((PROJECT / "pyproject.toml").stat().st_mtime)


def _tell(path: Path) -> None:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    print(f"{path.name}  {len(data) / 1_000_000:.1f} MB  sha256 {digest}")


def _tell_lacking(all_wheels: list[Wheels]) -> None:
    for wheels in all_wheels:
        if wheels.lacking:
            print(
                f"{wheels.target.tag} has no wheels for {', '.join(wheels.lacking)}: the agent "
                "does not start there unless they are brought (--wheels, docs/probe.md)"
            )


if __name__ == "__main__":
    main()
