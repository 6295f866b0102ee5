"""What is read of a running agent, and whether its size has changed. Linux's /proc only.

Two windows are compared, by their medians: the first after the start has settled, and
the last. A median, since a check that runs at the instant of a reading is no leak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

SETTLE_S = 600.0
WINDOW_S = 3600.0
"""At most these; a short run settles in a sixth of its length and compares quarters."""
MEMORY_MB = 5.0
DESCRIPTORS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """The agent at one moment; `anon_mb` is the part of `rss_mb` that no file backs."""

    at_s: float
    rss_mb: float
    anon_mb: float
    descriptors: int
    threads: int
    store_mb: float


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity in the first steady window, in the last, and its extremes since then."""

    name: str
    first: float
    last: float
    least: float
    most: float


def read(pid: int, state: Path, at_s: float) -> Reading:
    """Read the process and the size of the files that it keeps.

    Raises:
        OSError: it does not run.
    """
    proc = Path(f"/proc/{pid}")
    lines = (line.split() for line in (proc / "status").read_text().splitlines())
    found = {line[0]: line[1] for line in lines if len(line) > 1}
    return Reading(
        at_s,
        int(found["VmRSS:"]) / 1024,
        int(found["RssAnon:"]) / 1024,
        len(list((proc / "fd").iterdir())),
        int(found["Threads:"]),
        sum(path.stat().st_size for path in state.glob("store.sqlite*")) / 1e6,
    )


def changes(readings: Sequence[Reading]) -> list[Change]:
    """Return how each quantity changed from the first steady window to the last.

    Raises:
        ValueError: too few readings to compare.
    """
    length_s = readings[-1].at_s if readings else 0.0
    settled_s = min(SETTLE_S, length_s / 6)
    window_s = min(WINDOW_S, length_s / 4)
    steady = [r for r in readings if r.at_s >= settled_s]
    first = [r for r in steady if r.at_s <= settled_s + window_s]
    last = [r for r in steady if r.at_s >= length_s - window_s]
    if min(len(first), len(last)) < 3:
        raise ValueError(f"cannot compare: {len(readings)} readings are too few; run for longer")
    names = [f.name for f in fields(Reading) if f.name != "at_s"]
    return [
        Change(
            name,
            median(getattr(r, name) for r in first),
            median(getattr(r, name) for r in last),
            min(getattr(r, name) for r in steady),
            max(getattr(r, name) for r in steady),
        )
        for name in names
    ]


def grown(found: Sequence[Change]) -> list[str]:
    """Return what is no longer the size that it was, in words; empty if all is flat."""
    bars = {"rss_mb": MEMORY_MB, "descriptors": DESCRIPTORS, "threads": DESCRIPTORS}
    return [
        f"{c.name} went from {c.first:g} to {c.last:g}, more than {bars[c.name]:g} away"
        for c in found
        if c.name in bars and abs(c.last - c.first) > bars[c.name]
    ]
