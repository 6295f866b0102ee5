"""What a run came to, and whether it is good enough: the bars, in one place."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from linewatch_core.verdict.states import LineVerdict
from tests.lab.agent_config import CONFIRMATIONS, Pace
from tests.lab.restorations import Restoration
from tests.lab.scenario import Scenario
from tests.lab.tally import Tally
from tests.lab.targets import PACE_EVERY
from tests.lab.timeline import Timeline
from tests.lab.truth import Comparison, Row

ROUNDS_OF_ERROR_MAX = 2
ROUNDS_TO_TELL_MAX = 3
THROTTLED_ROUNDS = CONFIRMATIONS * PACE_EVERY
"""So long a throttle, and its end, must hold; only then its rounds to tell begin."""
UNTIMED = frozenset({"unknown", LineVerdict.POWER.value})
"""Told without a hurry: what claims nothing, and what can be told when power is back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        comparison: truth beside what the server says, in played seconds.
        rounds_s: when rounds began, in played seconds.
        timeline: leads from them to moments of the scenario.
        ran_s: how long the run took.
        cpu_s: CPU that everything in it took, the relay and the sites included.
    """

    scenario: Scenario
    seed: int
    pace: Pace
    comparison: Comparison
    rounds_s: tuple[float, ...]
    tally: Tally
    restorations: tuple[Restoration, ...]
    timeline: Timeline
    ran_s: float
    cpu_s: float = 0.0

    @property
    def error_max_s(self) -> float:
        """The largest error that is good enough."""
        return ROUNDS_OF_ERROR_MAX * self.pace.period_s

    def is_bad(self, row: Row) -> bool:
        """Return whether a change was not told, or not well enough dated.

        When a target becomes `unknown` is no claim: its line's own change is the dated one.
        """
        if row.error_s is None:
            return True
        return row.after != "unknown" and row.error_s > self.error_max_s

    def rounds_to_tell(self, row: Row) -> int | None:
        """Return in which whole round after a change, and its hold, it was told; None: untimed.

        0: at once.
        """
        if row.late_s is None or row.after in UNTIMED:
            return None
        slow = LineVerdict.THROTTLED in (row.before, row.after)
        from_s = row.at_s + (THROTTLED_ROUNDS * self.pace.period_s if slow else 0.0)
        until_s = row.at_s + row.late_s
        return max(0, bisect_right(self.rounds_s, until_s) - bisect_left(self.rounds_s, from_s))

    @property
    def rounds_to_tell_max(self) -> int | None:
        """Return what the slowest verdict took; None if none is timed."""
        found = map(self.rounds_to_tell, self.comparison.rows)
        return max((rounds for rounds in found if rounds is not None), default=None)

    def missed_bars(self) -> list[str]:
        """Return the bars that do not hold, in words."""
        rows = self.comparison.rows
        counts = {
            "transition not told": sum(row.error_s is None for row in rows),
            f"onset or restoration off by more than {self.error_max_s:g} s": sum(
                row.error_s is not None and self.is_bad(row) for row in rows
            ),
            f"transition told after more than {ROUNDS_TO_TELL_MAX} rounds": sum(
                (self.rounds_to_tell(row) or 0) > ROUNDS_TO_TELL_MAX for row in rows
            ),
            "transition told that is not true": len(self.comparison.unlisted),
            "record lost": self.tally.lost,
            "record stored twice": self.tally.duplicates,
            "record not at the server in the end": self.tally.held,
            "restoration whose backlog did not arrive": sum(
                one.complete_s is None for one in self.restorations
            ),
        }
        return [f"{count} × {name}" for name, count in counts.items() if count]

    def worst_s(self, *, restoring: bool) -> float | None:
        """Return the largest error of an onset, or of a restoration; None if there is none."""
        errors_s = [
            row.error_s
            for row in self.comparison.rows
            if row.restores is restoring and row.after != "unknown" and row.error_s is not None
        ]
        return max(errors_s, default=None)
