"""Compressed time: stable stretches cut short, the moments around a change kept.

Pure. In the lab a round takes a second that stands for a round period, and a
stretch between two changes lasts only as many rounds as its verdicts need; the
rest of it is left out, at its end. So errors of onset and restoration, which
follow a change, are in true proportion.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from linewatch_core.judging import VerdictSettings
from linewatch_core.verdict.settings import DEFAULTS, hold_of
from linewatch_core.verdict.states import LineVerdict
from tests.lab.scenario import Scenario

SLACK_ROUNDS = 6
"""Beyond what a verdict needs: one round may straddle a change, another be late."""

NEED_A_NORMAL = frozenset({LineVerdict.THROTTLED, LineVerdict.DATA_CUT})


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stable stretch: begins at `begins_s` (scenario), of which `kept_s` is played.

    `lab_begins_s` is when it begins in the lab.
    """

    begins_s: float
    kept_s: float
    lab_begins_s: float


@dataclass(frozen=True, slots=True)
class LabTime:
    """The mapping between a scenario's time and the lab's.

    Attributes:
        speed: scenario seconds per lab second while a stretch is played.
        stretches: by start, at least one.
    """

    speed: float
    stretches: tuple[Stretch, ...]

    @property
    def length_s(self) -> float:
        """How long the lab takes, in lab seconds."""
        last = self.stretches[-1]
        return last.lab_begins_s + last.kept_s / self.speed

    def to_lab(self, scenario_s: float) -> float:
        """Return when a moment is in the lab; one that is cut out is when the cut is."""
        starts = [stretch.begins_s for stretch in self.stretches]
        stretch = self.stretches[max(0, bisect_right(starts, scenario_s) - 1)]
        since_s = min(max(0.0, scenario_s - stretch.begins_s), stretch.kept_s)
        return stretch.lab_begins_s + since_s / self.speed

    def to_scenario(self, lab_s: float) -> float:
        """Return which moment of the scenario a moment in the lab stands for."""
        starts = [stretch.lab_begins_s for stretch in self.stretches]
        stretch = self.stretches[max(0, bisect_right(starts, lab_s) - 1)]
        since_s = max(0.0, lab_s - stretch.lab_begins_s) * self.speed
        return stretch.begins_s + min(since_s, stretch.kept_s)


def compress(changes_s: Sequence[float], needed_s: Sequence[float], *, speed: float) -> LabTime:
    """Cut stretches short.

    Args:
        changes_s: ascending moments of the scenario, its start and its end too.
        needed_s: per stretch between two of them, how much of it to keep.
        speed: scenario seconds per lab second; > 0.
    Raises:
        ValueError: the lengths don't fit, moments don't ascend, speed is not positive.
    """
    if len(changes_s) < 2 or len(needed_s) != len(changes_s) - 1 or speed <= 0:
        raise ValueError("cannot compress: need two moments, a need per stretch, a speed above 0")
    stretches: list[Stretch] = []
    lab_s = 0.0
    for begins_s, ends_s, keep_s in zip(changes_s[:-1], changes_s[1:], needed_s, strict=True):
        if ends_s <= begins_s:
            raise ValueError(f"cannot compress: {ends_s:g} s does not follow {begins_s:g} s")
        kept_s = min(ends_s - begins_s, keep_s)
        stretches.append(Stretch(begins_s, kept_s, lab_s))
        lab_s += kept_s / speed
    return LabTime(speed, tuple(stretches))


def lab_time(
    scenario: Scenario, *, period_s: float, round_s: float, settings: VerdictSettings = DEFAULTS
) -> LabTime:
    """Return a scenario's compressed time, each stretch as long as its verdicts need.

    Args:
        period_s: the round period that the scenario stands for.
        round_s: how long a round takes in the lab.
    """
    changes = scenario.changes_s()
    needs = [
        max(
            _needed_s(truth.state, period_s, settings)
            for truth in scenario.truth
            if truth.target is None and truth.begins_s < ends_s and begins_s < truth.ends_s
        )
        for begins_s, ends_s in pairwise(changes)
    ]
    if any(truth.state in NEED_A_NORMAL for truth in scenario.truth):
        # Nothing is slow, or weak, that was not seen otherwise: the first stretch teaches it.
        # Twice the values, since it may lie over the turn of an hour (docs/verdicts.md).
        values = 2 * settings.baseline_values_min + 1
        needs[0] += values * settings.baseline_spacing_ms / 1000
    return compress(changes, needs, speed=period_s / round_s)


def _needed_s(state: str, period_s: float, settings: VerdictSettings) -> float:
    hold = hold_of(settings, LineVerdict(state))
    rounds = max(hold.raise_rounds, hold.clear_rounds) + SLACK_ROUNDS
    return hold.raise_ms / 1000 + rounds * period_s
