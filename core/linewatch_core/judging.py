"""What verdicts rest on beside the samples: an operator's settings, and what was learnt before.

Both are written down, so that whoever has the records can judge them again.
"""

import msgspec

from linewatch_core.written import Struct


class Hold(Struct, frozen=True):
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


class VerdictSettings(Struct, frozen=True):
    """How long a state must hold before it is told, and how rounds are cut.

    The defaults are those of docs/verdicts.md. Thresholds of the evidence itself stand
    beside their rules, since they belong to a rule's version; these are an operator's.

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

    hold: Hold = Hold()
    line_holds: dict[str, Hold] = msgspec.field(
        default_factory=lambda: {"throttled": Hold(raise_ms=THROTTLED_MS)}
    )
    target_holds: dict[str, Hold] = msgspec.field(default_factory=dict)
    carry_ms: int = 40 * 60_000
    stale_ms: int = 120 * 60_000
    hole_ms: int = 60_000
    hole_periods: int = 4
    tight_ms: int = 120_000
    tight_again_ms: int = 600_000
    baseline_spacing_ms: int = 14 * 60_000
    baseline_span_ms: int = 7 * 24 * 3_600_000
    baseline_values_min: int = 3


class CachedTruth(Struct, frozen=True):
    """What was learned while lines were ok, or came with the configuration.

    Attributes:
        networks: target id to the networks (CIDR) where its addresses lie.
        issuers: target id to the authorities (as HttpDetail.issuer_sha256) of its chains.
        block_addresses: addresses of known block pages.
        block_pages: body digests (as in HttpDetail) of known block pages.
        silent_resolvers: ids of targets of role `resolver` whose address runs no DNS.
        vantage_up: targets that the server's own vantage reached.
        age_ms: how old it is; past TRUTH_AGE_MS_MAX it counts for nothing.
    """

    networks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    issuers: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    block_addresses: tuple[str, ...] = ()
    block_pages: tuple[str, ...] = ()
    silent_resolvers: tuple[str, ...] = ()
    vantage_up: tuple[str, ...] = ()
    age_ms: int = 0
