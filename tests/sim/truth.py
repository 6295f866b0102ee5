"""The simulated probe's transitions as tests/lab/truth.py compares them with the truth."""

from linewatch_core.records import Transition
from tests.lab.truth import Told


def told_of(one: Transition, kernel_s: float) -> Told:
    """Return a transition placed in the scenario; its boot's clock was 0 at `kernel_s`."""
    return Told(
        line=one.line,
        target=one.target,
        before=one.before,
        after=one.after,
        rule=one.rule,
        earliest_s=kernel_s + one.earliest_ms / 1000,
        latest_s=kernel_s + one.latest_ms / 1000,
        decided_s=kernel_s + one.mono_ms / 1000,
    )
