"""What is measured and not yet on the disk: in order, within a bound of memory.

Pure. When more waits than memory may hold, the oldest samples go first, then the
oldest roll-ups, events never; what went is remembered until a gap on the disk
says so. Bodies are numbered from 1 as they come, for whoever keeps a copy of them.
Invariant: `safe_ms` is never later than the first thing that is missing.
"""

from collections import deque
from itertools import islice

from linewatch_core.ids import BootId
from linewatch_core.records import Body, Gap, GapReason, Roll, Sample


class Waiting:
    """Bodies that wait for the disk, the one that came first at the front."""

    def __init__(self, *, records_max: int) -> None:
        """Keep at most `records_max` bodies once `shed` is called."""
        self._bodies: deque[tuple[int, Body]] = deque()
        self._taken = 0
        self._records_max = records_max
        self._lost: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self._bodies)

    def put(self, body: Body) -> None:
        """Add a body at the end."""
        self._taken += 1
        self._bodies.append((self._taken, body))

    def group(self, count: int) -> list[Body]:
        """Return the first `count` bodies, or as many as there are; they stay."""
        return [body for _, body in islice(self._bodies, count)]

    def through(self, count: int) -> int:
        """Return the number of the last of the first `count` bodies (there are so many)."""
        return self._bodies[count - 1][0]

    def after(self, number: int) -> list[tuple[int, Body]]:
        """Return the bodies that came after that one, with their numbers."""
        newer: list[tuple[int, Body]] = []
        for one in reversed(self._bodies):
            if one[0] <= number:
                break
            newer.append(one)
        newer.reverse()
        return newer

    def stored(self, count: int) -> None:
        """Take away the first `count` bodies: they are on the disk, and so is `overrun`."""
        for _ in range(count):
            self._bodies.popleft()
        self._lost = None

    def overrun(self, boot: BootId, *, now_ms: int) -> list[Gap]:
        """Return the gap that tells what `shed` dropped since the last `stored`, if anything.

        It belongs in the very commit that takes the next group: a crash between the
        two would leave the loss untold.
        """
        if self._lost is None:
            return []
        return [Gap(now_ms, GapReason.OVERRUN, boot, *self._lost)]

    def safe_ms(self, measured_ms: int, *, after: int = 0, told: bool = False) -> int:
        """Return the time before which nothing measured is missing from the disk.

        Bodies wait in the order in which their checks ended, so any of the rest may be
        the one that began first.

        Args:
            measured_ms: every check that began before it was put here.
            after: as if the first so many bodies were stored,
            told: and `overrun` with them.
        """
        times = [body.mono_ms for _, body in islice(self._bodies, after, None)]
        if self._lost is not None and not told:
            times.append(self._lost[0])
        return min(measured_ms, *times) if times else measured_ms

    def shed(self) -> int:
        """Drop what memory may not hold; return how many bodies went."""
        before = len(self._bodies)
        for kind in (Sample, Roll):
            self._shed(kind)
        return before - len(self._bodies)

    def _shed(self, kind: type[Sample] | type[Roll]) -> None:
        excess = len(self._bodies) - self._records_max
        if excess <= 0:
            return
        kept: deque[tuple[int, Body]] = deque()
        for number, body in self._bodies:
            if excess > 0 and isinstance(body, kind):
                excess -= 1
                first, last = self._lost or (body.mono_ms, body.mono_ms)
                self._lost = (min(first, body.mono_ms), max(last, body.mono_ms))
            else:
                kept.append((number, body))
        self._bodies = kept
