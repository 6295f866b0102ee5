"""A machine for the doctor: files below a folder, and programs that say what they are told."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linewatch_agent.doctor.findings import Finding, Level
from linewatch_agent.doctor.host import Host

STATUS: dict[str, Any] = {
    "version": "0.2.0",
    "led": {"signal": "measuring", "reasons": [], "problem": None},
    "round": {"rounds": 42},
    "store": {"problem": None, "dropped": 0, "hold_days": 400, "backlog": 7},
    "uplink": {"enabled": True, "connected": True, "problem": None},
    "clock": {"error_ms": 85, "disputed": False},
}


@dataclass
class Machine:
    """One machine; `status` None: no agent runs on it."""

    folder: Path
    status: dict[str, Any] | None = None
    programs: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state.mkdir(parents=True, mode=0o700)
        self.programs = self.folder / "programs"
        self.programs.mkdir()

    @property
    def state(self) -> Path:
        """The probe's state folder."""
        return self.folder / "root/var/lib/linewatch"

    @property
    def host(self) -> Host:
        """What the doctor is given."""
        return Host(self.state, self.folder / "root", self.status)

    def running(self, **changes: Any) -> "Machine":
        """Let an agent run; `store__problem="full"` changes one value of its status."""
        self.status = {key: dict(value) if isinstance(value, dict) else value
                       for key, value in STATUS.items()}  # fmt: skip
        for path, value in changes.items():
            section, _, key = path.partition("__")
            if key:
                self.status[section][key] = value
            else:
                self.status[section] = value
        return self

    def write(self, path: str, text: str) -> Path:
        """Write a file of the machine."""
        file = self.folder / "root" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def program(self, name: str, says: str, *, code: int = 0) -> None:
        """Make a program that prints a text."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
        path.chmod(0o755)

    def search_path(self) -> str:
        """Return a PATH where these programs come first."""
        return f"{self.programs}:{os.environ['PATH']}"


def levels(findings: list[Finding]) -> list[Level]:
    """Return the levels only."""
    return [each.level for each in findings]


def only(findings: "list[Finding]") -> Finding:
    """Return the one finding that there is."""
    (one,) = findings
    return one
