"""The agent's configuration in the lab: a round a second, everything else in proportion.

Pure. What a setting can say is scaled by the length of a round over its usual 30 s; the
network's delays are real, so that timeouts are what a round has room for.
"""

from dataclasses import dataclass

from linewatch_core.verdict.settings import DEFAULTS
from tests.lab.plan import CountryPlan
from tests.lab.targets import PACE_EVERY, PAIRS, lab_targets, to_toml

_HEAD = """
[schedule]
period_s = {round_s}
jitter_s = {jitter_s:.3f}
timeout_s = {timeout_s:.3f}

[targets]
sets = []

[budget]
month_mb = 1_000_000

[store]
commit_s = 0.2
live_close_s = 1.0
min_free_bytes = 1_048_576

[uplink]
retry_max_s = 2.0
keepalive_s = 10

[verdict]
throttled_s = {throttled_s:.3f}
carry_s = {carry_s:.3f}
stale_s = {stale_s:.3f}
hole_s = {hole_s:.3f}
tight_s = {tight_s:.3f}
tight_again_s = {tight_again_s:.3f}
normal_every_s = {normal_every_s:.3f}
normal_values = {normal_values}

[verdict.hold.throttled]
clear_rounds = {clear_rounds}

"""
TIMEOUT_SHARE = 0.8
JITTER_SHARE = 0.1
CONFIRMATIONS = 6
"""In 15 minutes a probe measures goodput once or twice, in 15 minutes of the lab thirty times,
through its own dense rounds. So `throttled` takes, and loses, this many measurements here."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a lab runs: a round takes `round_s` and stands for `period_s`."""

    round_s: float = 1.0
    period_s: float = 30.0

    @property
    def speed(self) -> float:
        """Scenario seconds per lab second."""
        return self.period_s / self.round_s


def agent_config(country: CountryPlan, pace: Pace, *, pairs: int = PAIRS) -> str:
    """Return the agent's configuration file; `pairs` are of its alternations."""
    settings, scale = DEFAULTS, 1000 * pace.speed
    head = _HEAD.format(
        round_s=pace.round_s,
        jitter_s=JITTER_SHARE * pace.round_s,
        timeout_s=TIMEOUT_SHARE * pace.round_s,
        throttled_s=CONFIRMATIONS * PACE_EVERY * pace.round_s,
        clear_rounds=CONFIRMATIONS * PACE_EVERY,
        carry_s=settings.carry_ms / scale,
        stale_s=settings.stale_ms / scale,
        hole_s=settings.hole_ms / scale,
        tight_s=settings.tight_ms / scale,
        tight_again_s=settings.tight_again_ms / scale,
        normal_every_s=settings.baseline_spacing_ms / scale,
        normal_values=settings.baseline_values_min,
    )
    return head + country.agent_lines() + to_toml(lab_targets(country, pairs=pairs))
