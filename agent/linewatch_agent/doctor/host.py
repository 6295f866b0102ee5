"""What the doctor looks at: this machine's files below one root, and its programs.

The root is `/` but in tests. Reads only; what can't be read is None.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM_S = 10.0


@dataclass(frozen=True, slots=True)
class Host:
    """One machine with one probe on it.

    Attributes:
        state: the probe's state folder.
        root: below which /proc, /sys, /etc and so on are.
        status: what the running agent says of itself; None: none runs.
    """

    state: Path
    root: Path = Path("/")
    status: dict[str, Any] | None = None

    def path(self, absolute: str) -> Path:
        """Return where a file of this machine is."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str | None:
        """Return a small text file without the white space around it, or None."""
        try:
            return self.path(absolute).read_text("utf-8", "replace").strip()
        except OSError:
            return None

    def number(self, absolute: str) -> int | None:
        """Return what a file says if it is a whole number, or None."""
        try:
            return int(self.read(absolute) or "")
        except ValueError:
            return None

    def first(self, pattern: str) -> str | None:
        """Return the absolute path of the first file that fits a shell pattern, or None."""
        found = sorted(self.root.glob(pattern.lstrip("/")))
        return None if not found else f"/{found[0].relative_to(self.root)}"

    def say(self, *command: str) -> str | None:
        """Return what a program prints; None where it is not there, fails or hangs."""
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=PROGRAM_S,
                check=True,
                env=environment,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()
