"""Sees whether a release starts on this machine, before anything depends on it.

Both of its programs must load their libraries: the agent's, and root's that would have
to take the next release. They run as the agent's user, who can harm nothing.
"""

import os
import pwd
import subprocess
from pathlib import Path

from linewatch_core.errors import LinewatchError

USER = "linewatch"
PATIENCE_S = 180.0
"""A Pi Zero loads everything for the first time, from a slow card."""


class TryError(LinewatchError):
    """A release does not start here."""


def try_out(folder: Path, version: str) -> None:
    """Start the programs of a release that say their version, or raise TryError."""
    for name in ("linewatch-agent", "linewatch-release"):
        _say_version(folder / "bin" / name, version)


def _say_version(program: Path, version: str) -> None:
    user = _user()
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise TryError(f"release refused: {program.name} does not start ({error})") from error
    if done.returncode or done.stdout.strip() != version:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise TryError(f"release refused: {program.name} --version said: {said[:200]}")


def _user() -> pwd.struct_passwd | None:
    """Return the agent's user; None where we may not become anybody else."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None
