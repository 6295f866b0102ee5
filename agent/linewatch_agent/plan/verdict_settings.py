"""From the configuration's words to the settings and the truth that records carry.

Pure. Seconds become ms here and nowhere else. Source: docs/configuration.md, "[verdict]"
and "[truth]".
"""

from ipaddress import ip_address

import msgspec

from linewatch_agent.plan.settings import HoldConfig, HoldsConfig, TruthConfig, VerdictConfig
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.verdict.states import LineVerdict, TargetVerdict


def verdict_settings(config: VerdictConfig) -> VerdictSettings:
    """Return the settings that `[verdict]` means."""
    every = Hold(config.raise_rounds, config.clear_rounds)
    holds = {
        each.encode_name: own
        for each in msgspec.structs.fields(HoldsConfig)
        if (own := getattr(config.hold, each.name)) is not None
    }
    throttled = Hold(config.raise_rounds, config.clear_rounds, _ms(config.throttled_s))
    lines = {LineVerdict.THROTTLED.value: throttled}
    for name in LineVerdict:
        if name in holds:
            lines[name.value] = _hold(holds[name], lines.get(name, every))
    targets = {name.value: _hold(holds[name], every) for name in TargetVerdict if name in holds}
    return VerdictSettings(
        hold=every,
        line_holds=lines,
        target_holds=targets,
        carry_ms=_ms(config.carry_s),
        stale_ms=_ms(config.stale_s),
        hole_ms=_ms(config.hole_s),
        tight_ms=_ms(config.tight_s),
        tight_again_ms=_ms(config.tight_again_s),
        baseline_spacing_ms=_ms(config.normal_every_s),
        baseline_values_min=config.normal_values,
    )


def given_truth(config: TruthConfig) -> CachedTruth:
    """Return the truth that `[truth]` gives beforehand."""
    return CachedTruth(
        block_addresses=tuple(sorted({str(ip_address(one)) for one in config.block_addresses})),
        block_pages=tuple(sorted(set(config.block_pages))),
        silent_resolvers=tuple(sorted(set(config.silent_resolvers))),
    )


def _hold(own: HoldConfig, other: Hold) -> Hold:
    return Hold(
        raise_rounds=own.raise_rounds or other.raise_rounds,
        clear_rounds=own.clear_rounds or other.clear_rounds,
        raise_ms=other.raise_ms if own.raise_s is None else _ms(own.raise_s),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
