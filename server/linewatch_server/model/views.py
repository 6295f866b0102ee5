"""What the server shows of its index: plain values for pages, exports and alerts.

Pure data, no rendering. Times are Unix ms of UTC; a time that is known only
between bounds is an `Interval`. Nothing here guesses: what is unknown is None,
and what has no data says so.
"""

from dataclasses import dataclass

from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.modem_words import (
    Bearer,
    ModemStep,
    ModemTrouble,
    PacketService,
    Registration,
    Sim,
)
from linewatch_core.records import GapReason, LineKind, Role, Sample, Stream
from linewatch_core.timebase import Interval
from linewatch_server.model.rollup import RttStats

QUIET_MS = 15 * 60_000
"""A probe with a line sends something each few minutes: from here on it is called silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """What is stored of one stream of one epoch.

    Attributes:
        ranges: sequence numbers stored, as inclusive ranges.
        holes: what is missing between 1 and the last one stored.
        records: how many records are stored.
        sealed: how many of them cannot be opened for want of a key here.
        unreadable: how many of them do not open although a key is here.
    """

    epoch: Epoch
    stream: Stream
    ranges: tuple[tuple[int, int], ...]
    holes: tuple[tuple[int, int], ...]
    records: int
    sealed: int
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeView:
    """One probe of the fleet, by its id only.

    Attributes:
        enrolled_ms: when its first key was enrolled; None if no enrolment is archived.
        last_arrival_ms: when a segment of it last arrived, by the server's clock.
        streams: by epoch and stream.
        unverified: segments that wait for the key that signed them.
        quarantined: messages kept but not believed.
    """

    probe: ProbeId
    enrolled_ms: int | None
    last_arrival_ms: int | None
    streams: tuple[StreamView, ...]
    unverified: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemView:
    """What a line's modem said last, and when; fields as in ModemDetail."""

    at: Interval
    present: bool
    sim: Sim | None
    registration: Registration | None
    bearer: Bearer | None
    signal_dbm: int | None
    operator: str | None
    technology: str | None
    packet_service: PacketService | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A line as its probe last described it; `since` is when it did.

    Attributes:
        operator: any name that tells operators apart; None: not known.
        budget_step: how far down the ladder of saving data it is; 0 is not at all.
        budget_since: when that step was told; None: the probe never told any.
        modem: what its modem said last; None: no sample of a modem has arrived.
    """

    probe: ProbeId
    line: str
    kind: LineKind
    usable: bool
    families: tuple[int, ...]
    problems: tuple[str, ...]
    since: Interval
    operator: str | None
    budget_step: int
    budget_since: Interval | None
    modem: ModemView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """What one check of one target gave on one line over a time range.

    Attributes:
        role: of the target in the newest configuration that names it; None if none does.
        failures: how often each failure name occurred, the most frequent first.
        rtt: None if no check was timed.
        uncertain: some of it is placed with a bound wider than a window, or disputed.
    """

    target: str
    role: Role | None
    check: str
    sent: int
    answered: int
    failures: tuple[tuple[str, int], ...]
    rtt: RttStats | None
    uncertain: bool

    @property
    def loss(self) -> float | None:
        """The share of checks that failed, 0.0 to 1.0; None if none ran."""
        return (self.sent - self.answered) / self.sent if self.sent else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionView:
    """A change of verdict, with the earliest and the latest moment it can have happened."""

    probe: ProbeId
    epoch: Epoch
    seq: int
    line: str
    target: str | None
    before: str
    after: str
    earliest: Interval
    latest: Interval
    rule: str
    rule_version: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GapView:
    """Measurements that do not exist, and why; `line` None means all lines."""

    probe: ProbeId
    epoch: Epoch
    seq: int
    reason: GapReason
    line: str | None
    begins: Interval
    ends: Interval
    stream: Stream | None
    first_seq: int | None
    last_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChangeView:
    """A line appeared, went, or changed what it can do."""

    probe: ProbeId
    epoch: Epoch
    seq: int
    line: str
    kind: LineKind
    usable: bool
    families: tuple[int, ...]
    problems: tuple[str, ...]
    operator: str | None
    at: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """A line began to save more data, or less; step 0 is not at all."""

    probe: ProbeId
    epoch: Epoch
    seq: int
    line: str
    step: int
    at: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetView:
    """The probe did something to a line's modem, and why; `done`: it could be carried out.

    What the modem said in the minutes after it is that step's doing.
    """

    probe: ProbeId
    epoch: Epoch
    seq: int
    line: str
    step: ModemStep
    trouble: ModemTrouble
    done: bool
    at: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsView:
    """What happened in a time range, each kind in order of time; what cannot be placed is last."""

    transitions: tuple[TransitionView, ...]
    gaps: tuple[GapView, ...]
    line_changes: tuple[LineChangeView, ...]
    budget_steps: tuple[BudgetView, ...]
    modem_resets: tuple[ResetView, ...]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample and where it belongs: its number, its store, its boot and its place in UTC."""

    probe: ProbeId
    epoch: Epoch
    boot: BootId
    seq: int
    at: Interval
    sample: Sample
