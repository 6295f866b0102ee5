"""What is normal on a line: medians over at most seven days of time spent `ok`.

Values carry the line's ok time, which stands still while the line is not ok: so
an outage does not become the new normal, and no wall clock is needed to forget.
Bounded: one value per spacing and key, none older than the span.
"""

import msgspec

from linewatch_core.judging import VerdictSettings
from linewatch_core.median import median


class Baseline(msgspec.Struct):
    """The values of one thing, oldest first: (ok time in ms, hour of the day or -1, value)."""

    values: list[tuple[int, int, float]] = []

    def add(self, value: float, *, hour: int | None, ok_ms: int, settings: VerdictSettings) -> None:
        """Keep a value measured while the line was ok; forget what is too old."""
        key = -1 if hour is None else hour
        oldest_ms = ok_ms - settings.baseline_span_ms
        self.values = [one for one in self.values if one[0] >= oldest_ms]
        if self.values and ok_ms - self.values[-1][0] < settings.baseline_spacing_ms:
            return
        self.values.append((ok_ms, key, value))

    def normal(self, *, hour: int | None, settings: VerdictSettings) -> float | None:
        """Return the median of the same hour; until it has enough values, of twice as many of all.

        None: too few values to say what is normal.
        """
        enough = settings.baseline_values_min
        same = [value for _, key, value in self.values if hour is not None and key == hour]
        if len(same) >= enough:
            return median(same)
        if hour is not None and len(self.values) < 2 * enough:
            return None
        return median(one[2] for one in self.values) if len(self.values) >= enough else None
