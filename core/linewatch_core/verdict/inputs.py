"""What the rules are given: a round as values, every one of which comes from records.

`rounds.py` makes them of records; nothing else is looked at, so that whoever
has the records comes to the same verdicts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from linewatch_core.records import GapReason, LineKind, Role, Sample


class Sim(StrEnum):
    """What the modem says of its SIM."""

    READY = "ready"
    MISSING = "missing"
    LOCKED = "locked"


class Registration(StrEnum):
    """Where the modem is registered (3GPP TS 27.007, +CREG)."""

    HOME = "home"
    ROAMING = "roaming"
    SEARCHING = "searching"
    DENIED = "denied"
    IDLE = "idle"


class Bearer(StrEnum):
    """How the data session stands; `refused`: the network said no to the last attempt."""

    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


class ModemFacts(msgspec.Struct, frozen=True):
    """What a modem said last; None where it said nothing. `signal_dbm` is RSRP or RSSI."""

    present: bool = True
    sim: Sim | None = None
    registration: Registration | None = None
    bearer: Bearer | None = None
    signal_dbm: float | None = None


class LineFacts(msgspec.Struct, frozen=True):
    """How a line stood when a round began.

    Attributes:
        problems: codes as in LineChanged.
        operator: any name that tells operators apart; None: not known, then every
            line counts as its kind's one operator.
        modem: None without a modem, or if it is not asked.
    """

    kind: LineKind
    usable: bool = True
    problems: tuple[str, ...] = ()
    operator: str | None = None
    modem: ModemFacts | None = None


class CachedTruth(msgspec.Struct, frozen=True):
    """What was learned while lines were ok, and came signed with the configuration.

    Attributes:
        networks: target id to the networks (CIDR) where its addresses lie.
        block_addresses: addresses of known block pages.
        block_pages: body digests (as in HttpDetail) of known block pages.
        silent_resolvers: ids of targets of role `resolver` whose address runs no DNS.
        vantage_up: targets that the server's own vantage reached.
        age_ms: how old it is; past `TRUTH_AGE_MS_MAX` it counts for nothing.
    """

    networks: dict[str, tuple[str, ...]] = {}
    block_addresses: tuple[str, ...] = ()
    block_pages: tuple[str, ...] = ()
    silent_resolvers: tuple[str, ...] = ()
    vantage_up: tuple[str, ...] = ()
    age_ms: int = 0


class Seen(msgspec.Struct, frozen=True):
    """A sample with its sequence number in `raw`."""

    seq: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Round:
    """Everything known of one round of one probe.

    Attributes:
        boot: whose monotonic clock `round_ms` and the samples are on.
        round_ms: when it began.
        samples: those of all lines, in any order; sequence numbers are distinct.
        lines: every line ever told of in this boot, by id.
        roles: the role of every configured target, by id.
        period_ms: the schedule's round period.
        truth: what was learned before.
        clock_error_ms: bound of the system clock's error where it is disciplined (an
            `ntp` anchor), else None: then it may be wrong by years.
        hour: hour of the day in UTC as far as known, for same-hour baselines.
        gap: why there was no measuring right before this round, if records say so.
        run_ms: when the agent run that measured it began.
    """

    boot: str
    round_ms: int
    samples: tuple[Seen, ...]
    lines: Mapping[str, LineFacts]
    roles: Mapping[str, Role]
    period_ms: int = 30_000
    truth: CachedTruth = field(default_factory=CachedTruth)
    clock_error_ms: int | None = None
    hour: int | None = None
    gap: GapReason | None = None
    run_ms: int | None = None
