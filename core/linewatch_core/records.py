"""What a probe writes down: the records of the three streams.

A record is placed by (boot, monotonic) only; wall time appears nowhere but in
an anchor. No record has a field that could hold an address or an identifier
of the host. What a check saw is in `details.py`. Source: docs/wire-format.md.
"""

from enum import StrEnum
from typing import TypeAlias

from linewatch_core.details import Detail
from linewatch_core.ids import BootId
from linewatch_core.judging import CachedTruth, VerdictSettings
from linewatch_core.modem_words import ModemStep, ModemTrouble
from linewatch_core.written import Struct

RTT_QUANTUM_US = 10
"""Times are stored in steps of 10 µs: below that is the noise of a Pi's own clock path."""


class Stream(StrEnum):
    """The three streams; each has its own sequence numbers."""

    EV = "ev"
    ROLL = "roll"
    RAW = "raw"


class LineKind(StrEnum):
    """What sort of way out a line is."""

    FIXED = "fixed"
    MOBILE = "mobile"


class Role(StrEnum):
    """What a target stands for when lines are judged."""

    DOMESTIC = "domestic"
    INTERNATIONAL = "international"
    NEUTRAL = "neutral"
    SENSITIVE = "sensitive"
    RESOLVER = "resolver"
    PORTAL = "portal"
    GATEWAY = "gateway"


class Check(StrEnum):
    """The kinds of check."""

    ICMP = "icmp"
    TCP = "tcp"
    DNS = "dns"
    HTTP = "http"
    THROUGHPUT = "throughput"
    TRACE = "trace"
    SNI = "sni"
    HOST = "host"
    NEIGHBOUR = "neighbour"
    CONTRAST = "contrast"
    RANDOM_NAME = "random_name"
    PORTAL = "portal"
    MODEM = "modem"


UNCOUNTED = frozenset({Check.MODEM, Check.TRACE})
"""Checks whose samples no share of answers counts: a modem's state is no answer, and the
end of a path often drops what a trace sends."""


class AnchorSource(StrEnum):
    """Who said what time it is."""

    NTP = "ntp"
    SERVER = "server"
    RTC = "rtc"
    NITZ = "nitz"


class GapReason(StrEnum):
    """Why measurements do not exist."""

    STOPPED = "stopped"
    KILLED = "killed"
    REBOOTED = "rebooted"
    STORE_FULL = "store_full"
    STORE_DAMAGED = "store_damaged"
    OVERRUN = "overrun"


HTTP_TIMINGS = ("dns", "tcp", "tls", "first_byte", "body")
"""The phases of an http sample's `timings_us`, in this order; a phase not reached is absent."""


class Sample(Struct, tag="s", frozen=True):
    """The outcome of one check of one target on one line in one round.

    Attributes:
        mono_ms: when the check began (CLOCK_BOOTTIME).
        slot_ms: when it was due; the same on every line.
        round_ms: when its round began; with boot and target it joins lines.
        line, target: ids.
        check: the kind of check.
        family: 4, 6, or 0 where no address was reached.
        failure: OONI's name of the failure; None means that it answered.
        rtt_us: the check's main time in µs, a multiple of 10; None if there is none
            (icmp: echo; tcp: handshake; dns: reply; http: request to first byte).
        timings_us: the phases of an http check, see HTTP_TIMINGS.
        address: the address measured; None for the line's own gateway and
            resolver, whose addresses would tell about the host's network.
        detail: what else the check saw.
        busy: the uplink was sending over this line in that round.
    """

    mono_ms: int
    slot_ms: int
    round_ms: int
    line: str
    target: str
    check: Check
    family: int
    failure: str | None = None
    rtt_us: int | None = None
    timings_us: tuple[int, ...] = ()
    address: str | None = None
    detail: Detail | None = None
    busy: bool = False


class Roll(Struct, tag="r", frozen=True):
    """Counts and times of one line, target and check in five minutes of monotonic time.

    Attributes:
        mono_ms: when the window closed.
        window: the window's number: mono_ms // 300,000 of its samples' slots.
        sent, answered: how many checks ran, and how many of them had no failure.
        failures: how often each failure name occurred.
        rtt_min_us, rtt_median_us, rtt_p95_us: of those that answered; None if none did.
    """

    mono_ms: int
    window: int
    line: str
    target: str
    check: Check
    sent: int
    answered: int
    failures: dict[str, int]
    rtt_min_us: int | None = None
    rtt_median_us: int | None = None
    rtt_p95_us: int | None = None


ROLL_WINDOW_MS = 300_000


class BootStarted(Struct, tag="boot", frozen=True):
    """The agent started. `version` is the agent's."""

    mono_ms: int
    version: str


class Anchor(Struct, tag="anchor", frozen=True):
    """At `mono_ms` of this boot it was `utc_ms` (Unix time), give or take `error_ms`."""

    mono_ms: int
    utc_ms: int
    error_ms: int
    source: AnchorSource


class Transition(Struct, tag="transition", frozen=True):
    """A change of a line's verdict (or of one target's on that line).

    It happened between `earliest_ms` and `latest_ms` of this boot. `samples` are
    the sequence numbers in `raw` that decided it under `rule`, `rule_version`.
    """

    mono_ms: int
    line: str
    target: str | None
    before: str
    after: str
    earliest_ms: int
    latest_ms: int
    rule: str
    rule_version: int
    samples: tuple[int, ...]


class Gap(Struct, tag="gap", frozen=True):
    """Measurements that do not exist, and why.

    From `from_ms` of boot `from_boot` to `to_ms` of this record's boot, on `line`
    (None: all lines). Where records existed and were lost or thinned, they are
    `first_seq` to `last_seq` of `stream`.
    """

    mono_ms: int
    reason: GapReason
    from_boot: BootId
    from_ms: int
    to_ms: int
    line: str | None = None
    stream: Stream | None = None
    first_seq: int | None = None
    last_seq: int | None = None


class LineChanged(Struct, tag="line", frozen=True):
    """A line appeared, went, or changed what it can do; `problems` are short codes.

    `operator` is any name that tells operators apart (the configuration's, else the
    modem's code of its network); None: not known.
    """

    mono_ms: int
    line: str
    kind: LineKind
    usable: bool
    families: tuple[int, ...]
    problems: tuple[str, ...] = ()
    operator: str | None = None


class TargetNote(Struct, frozen=True):
    """What readers of the records must know of a target: its role and checks."""

    id: str
    role: Role
    checks: tuple[Check, ...]


class ConfigApplied(Struct, tag="config", frozen=True):
    """A configuration took effect: its hash, round period, targets, and verdict settings.

    `settings` None: an older release wrote this, and its defaults held.
    """

    mono_ms: int
    sha256: str
    period_ms: int
    targets: tuple[TargetNote, ...]
    settings: VerdictSettings | None = None


class TruthApplied(Struct, tag="truth", frozen=True):
    """From now on verdicts rest on this cached truth; signed, as every record is."""

    mono_ms: int
    truth: CachedTruth


class BudgetChanged(Struct, tag="budget", frozen=True):
    """A line saves more data, or less: the step of the ladder that it is on; 0 is none."""

    mono_ms: int
    line: str
    step: int


class ModemReset(Struct, tag="reset", frozen=True):
    """The probe did something to a line's modem, since that hung or failed.

    Attributes:
        mono_ms: when the step began.
        done: it could be carried out; whether it helped, the next samples tell.
    """

    mono_ms: int
    line: str
    step: ModemStep
    trouble: ModemTrouble
    done: bool


EvBody: TypeAlias = (
    BootStarted
    | Anchor
    | Transition
    | Gap
    | LineChanged
    | ConfigApplied
    | TruthApplied
    | BudgetChanged
    | ModemReset
)
Body: TypeAlias = Sample | Roll | EvBody


class Record(Struct, frozen=True):
    """A body with the sequence number that its store gave it (from 1, per stream)."""

    seq: int
    body: Body


def stream_of(body: Body) -> Stream:
    """Return the stream that a body belongs to."""
    if isinstance(body, Sample):
        return Stream.RAW
    if isinstance(body, Roll):
        return Stream.ROLL
    return Stream.EV


def quantise_us(time_us: float) -> int:
    """Return a time in µs rounded to the stored quantum of 10 µs, never below 0."""
    return max(0, round(time_us / RTT_QUANTUM_US) * RTT_QUANTUM_US)
