"""What playing one probe through a scenario came to, and which bars it misses.

Pure.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from linewatch_core.judging import THROTTLED_MS
from tests.lab.scenario import Scenario
from tests.lab.truth import Comparison, Row, Told
from tests.sim.network import COSTLY_EVERY, GATEWAY
from tests.sim.probe import PERIOD_MS
from tests.sim.uplink import Restoration

ROUNDS_OF_ERROR_MAX = 2
ROUNDS_TO_TELL_MAX = 3
WAIT_S = {"throttled": THROTTLED_MS / 1000}
COSTLY = frozenset({"portal", "throttled"})
"""Verdicts that rest on checks which are not made in every round: a round stands for as many."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Records of all streams: committed, at the server once and more than once, and the rest.

    Attributes:
        measured: samples.
        held: not at the server, but still whole on the probe.
        gaps: given up by the probe, which a gap record at the server says.
        unwritten: samples that went with the power before they were records; of them
            `untold` are in no hole that the probe tells of.
        resent: segments that came again and were not stored again.
    """

    measured: int
    committed: int
    stored_once: int
    duplicates: int
    held: int
    gaps: int
    resent: int
    unwritten: int
    untold: int

    @property
    def lost(self) -> int:
        """Committed and nowhere any more, or measured and missing without a word."""
        known = self.stored_once + self.duplicates + self.held + self.gaps
        return self.committed - known + self.untold


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        name: of the dice: the seed, and which probe.
        begun_s: when each round began.
        lost: checks that failed by chance (Network.lost).
    """

    scenario: Scenario
    name: str
    comparison: Comparison
    begun_s: tuple[float, ...]
    lost: tuple[tuple[str, str, float], ...]
    told: tuple[Told, ...]
    tally: Tally
    restorations: tuple[Restoration, ...]

    def missed_bars(self) -> list[str]:
        """Return the bars that do not hold, in words."""
        max_s = ROUNDS_OF_ERROR_MAX * PERIOD_MS / 1000
        rows = self.comparison.rows
        bars: dict[str, list[object]] = {
            "transition not told": [*(r for r in rows if r.error_s is None)],
            f"onset or restoration error above {max_s:g} s": [
                *(r for r in rows if (r.error_s or 0) > max_s * _rounds_each(r))
            ],
            "told too late": [*(r for r in rows if self.rounds_to_tell(r) > self._patience(r))],
            "transition told that is not true": [*self.comparison.unlisted],
            "record lost": [None] * self.tally.lost,
            "record stored twice": [None] * self.tally.duplicates,
        }
        return [f"{len(found)} × {name}" for name, found in bars.items() if found]

    def rounds_to_tell(self, row: Row) -> int:
        """Return in which round of the evidence a change was told; 0 if it was not.

        The first is the first whole one after the change, or after the time for which the
        verdict has to last.
        """
        if row.late_s is None:
            return 0
        from_s = row.at_s + WAIT_S.get(row.after, 0.0)
        until_s = row.at_s + row.late_s
        return bisect_right(self.begun_s, until_s) - bisect_left(self.begun_s, from_s)

    def _patience(self, row: Row) -> int:
        """Return how many rounds a change may take: one that chance spoilt is none.

        It spoils a target's round by any lost question, and a dead line's by the gateway's,
        which then may be the cause.
        """
        late_s = row.late_s or 0.0
        spoilt = {
            at_s
            for line, target, at_s in self.lost
            if (line, target) == (row.line, row.target or GATEWAY.id)
            and row.at_s <= at_s <= row.at_s + late_s
        }
        return ROUNDS_TO_TELL_MAX + COSTLY_EVERY * (_rounds_each(row) - 1) + len(spoilt)


def _rounds_each(row: Row) -> int:
    """Return how many rounds go by between two that can show this change."""
    return COSTLY_EVERY if COSTLY & {row.before, row.after} else 1
