"""The settings in force, and the hold that they give a verdict."""

from linewatch_core.judging import Hold, VerdictSettings
from linewatch_core.verdict.states import LineVerdict, TargetVerdict

DEFAULTS = VerdictSettings()


def hold_of(settings: VerdictSettings, verdict: LineVerdict | TargetVerdict) -> Hold:
    """Return the hold of one verdict."""
    own = settings.line_holds if isinstance(verdict, LineVerdict) else settings.target_holds
    return own.get(verdict.value, settings.hold)
