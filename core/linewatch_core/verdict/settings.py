"""How long a state must hold before it is told, and how rounds are cut.

Thresholds of the evidence itself stand beside their rules (rules.py), since
they belong to a rule's version; these here are an operator's to change.
"""

from dataclasses import dataclass, field

from linewatch_core.verdict.states import LineVerdict, TargetVerdict


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a verdict must hold.

    Attributes:
        raise_rounds: consecutive rounds that must say it before it is told; >= 1.
        clear_rounds: consecutive rounds that must say `ok` before it is taken back; >= 1.
        raise_ms: how long it must also have been said, in ms.
    """

    raise_rounds: int = 3
    clear_rounds: int = 3
    raise_ms: int = 0

    def __post_init__(self) -> None:
        if min(self.raise_rounds, self.clear_rounds) < 1 or self.raise_ms < 0:
            raise ValueError(f"cannot hold a verdict for less than one round: {self}")


THROTTLED_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a machine; the defaults are those of docs/verdicts.md.

    Attributes:
        hold: of every verdict that has none of its own.
        line_holds, target_holds: per verdict.
        carry_ms: how long the last outcome of a check that is not run in every round counts.
        stale_ms: a target not measured for so long is `unknown`.
        hole_ms: a line is `unknown` after this long without a round; at least
            `hole_periods` periods are always waited for.
        tight_ms: how long a suspicion asks for dense rounds.
        tight_again_ms: the same suspicion asks again only after this long.
        baseline_spacing_ms: ok time between two values kept for a baseline.
        baseline_span_ms: ok time that a baseline looks back.
        baseline_values_min: values below which a baseline says nothing.
    """

    hold: Hold = field(default_factory=Hold)
    line_holds: dict[LineVerdict, Hold] = field(
        default_factory=lambda: {LineVerdict.THROTTLED: Hold(raise_ms=THROTTLED_MS)}
    )
    target_holds: dict[TargetVerdict, Hold] = field(default_factory=dict)
    carry_ms: int = 40 * 60_000
    stale_ms: int = 120 * 60_000
    hole_ms: int = 60_000
    hole_periods: int = 4
    tight_ms: int = 120_000
    tight_again_ms: int = 600_000
    baseline_spacing_ms: int = 14 * 60_000
    baseline_span_ms: int = 7 * 24 * 3_600_000
    baseline_values_min: int = 3

    def hold_of(self, verdict: LineVerdict | TargetVerdict) -> Hold:
        """Return the hold of one verdict."""
        if isinstance(verdict, LineVerdict):
            return self.line_holds.get(verdict, self.hold)
        return self.target_holds.get(verdict, self.hold)


DEFAULTS = Settings()
