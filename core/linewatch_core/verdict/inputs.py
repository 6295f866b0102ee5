"""What the rules are given: a round as values, every one of which comes from records.

`rounds.py` makes them of records; nothing else is looked at, so that whoever
has the records comes to the same verdicts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from linewatch_core.judging import CachedTruth, VerdictSettings
from linewatch_core.modem_words import ModemDetail
from linewatch_core.records import GapReason, LineKind, Role, Sample


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
    modem: ModemDetail | None = None


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
        settings: those in force, as records tell; None: they don't.
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
    settings: VerdictSettings | None = None
    clock_error_ms: int | None = None
    hour: int | None = None
    gap: GapReason | None = None
    run_ms: int | None = None
