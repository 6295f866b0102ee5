"""Reads what the kernel knows of one process, one block device and the network devices.

Source: proc(5), the kernel's Documentation/admin-guide/iostats.rst.
"""

import os
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
"""The unit of /proc/diskstats, whatever the device's own."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """CPU in seconds and memory in bytes of a process.

    Attributes:
        resident_bytes: as `ps` shows it, with the pages of files that others use as well.
        anonymous_bytes: of that, what is in no file.
        share_bytes: of that, with each page divided by how many use it; None: not to be read.
    """

    cpu_s: float
    resident_bytes: int
    peak_bytes: int
    anonymous_bytes: int
    share_bytes: int | None


@dataclass(frozen=True, slots=True)
class Disk:
    """A block device: its numbers and its name; `name` None: there is none, for `why`."""

    major: int = 0
    minor: int = 0
    name: str | None = None
    why: str = ""


def process(pid: int, proc: Path = Path("/proc")) -> Process:
    """Return what a process has used and holds.

    Raises:
        OSError: it has ended.
    """
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    # utime and stime are fields 14 and 15 of proc(5); ")" ends field 2.
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
    held = _sizes((proc / str(pid) / "status").read_text().splitlines())
    return Process(
        cpu_s,
        resident_bytes=held.get("VmRSS:", 0),
        peak_bytes=held.get("VmHWM:", 0),
        anonymous_bytes=held.get("RssAnon:", 0),
        share_bytes=_sizes(_lines(proc / str(pid) / "smaps_rollup")).get("Pss:"),
    )


def disk_of(folder: Path, stats: Path = Path("/proc/diskstats")) -> Disk:
    """Return the block device that a folder lies on."""
    device = folder.stat().st_dev
    major, minor = os.major(device), os.minor(device)
    for line in _lines(stats):
        columns = line.split()
        if columns[:2] == [str(major), str(minor)]:
            return Disk(major, minor, columns[2])
    return Disk(why="it lies on no block device of its own (a container, or RAM)")


def written_bytes(disk: Disk, stats: Path = Path("/proc/diskstats")) -> int | None:
    """Return how much was written to a device since the boot."""
    for line in _lines(stats):
        columns = line.split()
        if len(columns) > 9 and columns[:3] == [str(disk.major), str(disk.minor), disk.name]:
            return int(columns[9]) * SECTOR_BYTES
    return None


def carried_bytes(device: str, sys_net: Path = Path("/sys/class/net")) -> int | None:
    """Return what a network device has received and sent since it came, or None."""
    folder = sys_net / device / "statistics"
    try:
        return sum(int((folder / name).read_text()) for name in ("rx_bytes", "tx_bytes"))
    except (OSError, ValueError):
        return None


def _sizes(lines: list[str]) -> dict[str, int]:
    """Return the bytes of rows such as `VmRSS:  100 kB`."""
    rows = (line.split() for line in lines)
    return {row[0]: int(row[1]) * 1024 for row in rows if len(row) == 3 and row[2] == "kB"}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
