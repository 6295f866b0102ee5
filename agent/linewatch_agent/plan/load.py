"""What a plan costs one line at full frequency, in bytes a second.

Pure and an upper bound: what the schedule is fitted to (budget.py) and what people are
told beforehand (data_use.py). Source: docs/configuration.md, "Data use".
"""

from collections.abc import Sequence

from linewatch_agent.plan.budget import Load
from linewatch_agent.plan.check_cost import check_bytes
from linewatch_agent.plan.ledger import Purpose, purpose_of
from linewatch_agent.plan.settings import Config
from linewatch_core.records import ROLL_WINDOW_MS
from linewatch_core.targets import Target

KEEPALIVE_BYTES = 185
SEND_BYTES = 1_400
"""One segment of few records, what MQTT, TLS and TCP put around it, and the server's signed
ack to it with theirs. Measured: 1,359 a segment of 24 samples, see docs/configuration.md."""
ROLLS_S = ROLL_WINDOW_MS / 1000

RECORD_BYTES = 6
"""A sample in a full segment, sealed and signed: the bar of docs/wire-format.md."""


def load_of(config: Config, targets: Sequence[Target], families: Sequence[int]) -> Load:
    """Return what a line with these families costs at full frequency, uplink included.

    Only one line carries the uplink at a time; each is reckoned as if it were the one.

    Args:
        config: as `with_profile` returned it.
        targets: as `resolve_targets` returned them.
        families: none is taken as IPv4.
    """
    period_s, store, uplink = config.schedule.period_s, config.store, config.uplink
    record_bytes = RECORD_BYTES if uplink.enabled else 0
    checks: dict[Purpose, float] = {}
    round_bytes = 0
    for target in targets:
        times = len(set(families or (4,)) & set(target.families))
        for check in target.checks:
            purpose = purpose_of(check, target.role)
            if purpose is None:
                continue  # it never leaves the home
            cost = times * (check_bytes(check, target) + record_bytes)
            round_bytes += cost
            checks[purpose] = checks.get(purpose, 0.0) + cost / period_s / target.every
    if not uplink.enabled:
        return Load(checks, round_bytes=round_bytes)
    return Load(
        checks,
        sends=SEND_BYTES / store.live_close_s,
        rolls=SEND_BYTES / ROLLS_S,
        hold_max=store.block_s / store.live_close_s,
        idle=KEEPALIVE_BYTES / uplink.keepalive_s,
        idle_saved=KEEPALIVE_BYTES / SEND_BYTES,
        round_bytes=round_bytes + 2 * SEND_BYTES,
    )


def records_per_s(config: Config, targets: Sequence[Target], families: Sequence[int]) -> float:
    """Return how many samples a second a line gives at full frequency."""
    a_round = (
        len(set(families or (4,)) & set(target.families)) * len(target.checks) / target.every
        for target in targets
    )
    return sum(a_round) / config.schedule.period_s
