"""A wall clock of the probe's own, which may lie; the machine's stays as it is.

libfaketime, loaded into the agent, adds an offset from a file to every reading of the wall
clock, and leaves the monotonic ones alone. What the kernel says of its clock (adjtimex) it
does not know: `kernel_says` is put in its place (tests/lab/process.py).
"""

from enum import StrEnum
from pathlib import Path

from linewatch_core.timex import KernelClock

LIBRARIES = "/usr/lib"
_LIBRARY = "*/faketime/libfaketime.so.1"


class Lie(StrEnum):
    """What the clock says, as libfaketime reads it: seconds off the truth."""

    NONE = "+0s"
    FROM_1970 = "-1800000000s"
    """As a Pi without a clock: nothing has set it, and it says so."""
    AHEAD = "+315360000s"
    """Ten years, and the kernel takes it for the truth: a time server lied."""


class WallClock:
    """The probe's clock; `folder` is the lab's."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wall_clock"
        self.set(Lie.NONE)

    def set(self, lie: Lie) -> None:
        """Set it, also for an agent that runs."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{lie}\n")
        new.rename(self.path)

    def env(self) -> dict[str, str]:
        """Return what the agent needs in its environment.

        Raises:
            RuntimeError: libfaketime is not installed.
        """
        library = next(Path(LIBRARIES).glob(_LIBRARY), None)
        if library is None:
            raise RuntimeError("cannot set a clock of the probe's own: apt-get install faketime")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def kernel_says(path: Path) -> KernelClock:
    """Return what a kernel would say of such a clock."""
    lie = Lie(path.read_text().strip())
    return KernelClock(synchronised=lie is not Lie.FROM_1970, error_ms=50)
