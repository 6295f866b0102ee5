"""Five-minute roll-ups: the shape of an outage in a few bytes.

Pure. Windows are of monotonic time, so that no clock correction moves a
sample from one to another.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from linewatch_core.records import ROLL_WINDOW_MS, UNCOUNTED, Check, Roll, Sample, quantise_us

_LATEST_MS = 30_000
"""A window is closed this long after its end: its last checks may still be running."""


def percentile(ordered: Sequence[int], percent: int) -> int:
    """Return the value at `percent` (1 to 100) of ascending `ordered` (not empty), nearest rank."""
    return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(slots=True)
class _Cell:
    sent: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    rtts_us: list[int] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        self.sent += 1
        if sample.failure is not None:
            self.failures[sample.failure] += 1
        elif sample.rtt_us is not None:
            self.rtts_us.append(sample.rtt_us)

    def roll(self, mono_ms: int, window: int, line: str, target: str, check: Check) -> Roll:
        ordered = sorted(self.rtts_us)
        return Roll(
            mono_ms=mono_ms,
            window=window,
            line=line,
            target=target,
            check=check,
            sent=self.sent,
            answered=self.sent - self.failures.total(),
            failures=dict(sorted(self.failures.items())),
            rtt_min_us=ordered[0] if ordered else None,
            rtt_median_us=quantise_us(percentile(ordered, 50)) if ordered else None,
            rtt_p95_us=quantise_us(percentile(ordered, 95)) if ordered else None,
        )


class RollUp:
    """Collects samples and gives out the roll-ups of windows that are over."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, str, str, Check], _Cell] = {}

    def add(self, sample: Sample) -> None:
        """Count one sample in the window of its slot; none of an `UNCOUNTED` check.

        One that comes after its window was taken makes a second roll-up of that window:
        counts of one window add up.
        """
        if sample.check in UNCOUNTED:
            return
        key = (sample.slot_ms // ROLL_WINDOW_MS, sample.line, sample.target, sample.check)
        self._cells.setdefault(key, _Cell()).add(sample)

    def take_closed(self, now_ms: int) -> list[Roll]:
        """Remove and return the roll-ups of all windows that ended over 30 s before `now_ms`."""
        closed = [k for k in self._cells if (k[0] + 1) * ROLL_WINDOW_MS + _LATEST_MS <= now_ms]
        return self._take(sorted(closed), now_ms)

    def take_all(self, now_ms: int) -> list[Roll]:
        """Remove and return every roll-up, finished or not: the agent stops."""
        return self._take(sorted(self._cells), now_ms)

    def _take(self, keys: Sequence[tuple[int, str, str, Check]], now_ms: int) -> list[Roll]:
        return [self._cells.pop(key).roll(now_ms, *key) for key in keys]
