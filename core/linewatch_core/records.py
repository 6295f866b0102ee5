"""What a probe writes down: the records of the three streams.

A record is placed by (boot, monotonic) only; wall time appears nowhere but in
an anchor. No record has a field that could hold an address or an identifier
of the host. Fields are appended, never reordered or reused: the structs are
encoded as arrays. Source: docs/wire-format.md.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from linewatch_core.ids import BootId

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


class PacketService(StrEnum):
    """Whether the network serves data at all (3GPP TS 27.007, +CGATT)."""

    ATTACHED = "attached"
    DETACHED = "detached"


class ModemTrouble(StrEnum):
    """What a modem is reset for; that nothing can be reached is none of it.

    `gone`: it was there, and no longer is; `silent`: it does not answer; `session`: its
    data session failed, and not by the network's word.
    """

    GONE = "gone"
    SILENT = "silent"
    SESSION = "session"


class ModemStep(StrEnum):
    """What is done to a modem, the mildest first.

    `radio`: its radio is switched off and on; `usb`: its USB device is taken from its
    drivers and given back; `power`: its USB port is without power for a moment;
    `reboot`: the probe is started anew.
    """

    RECONNECT = "reconnect"
    RADIO = "radio"
    RESET = "reset"
    USB = "usb"
    POWER = "power"
    REBOOT = "reboot"


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


class Struct(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    """The base of all records: immutable, encoded as an array."""


class DnsDetail(Struct, tag="dns", frozen=True):
    """What a DNS check saw.

    Attributes:
        rcode: the reply's code as text (`NOERROR`, `NXDOMAIN`, ...).
        answers: the addresses or other data of the first reply, sorted.
        second: those of a second, differing reply to the same query, sorted; else None.
        second_after_us: how long after the first it came.
    """

    rcode: str
    answers: tuple[str, ...]
    second: tuple[str, ...] | None = None
    second_after_us: int | None = None


class HttpDetail(Struct, tag="http", frozen=True):
    """What an HTTP check saw.

    Attributes:
        status: the HTTP status code.
        body_bytes: how much of the body was read (the check stops at its limit).
        body_sha256: the first 16 hexadecimal digits of the SHA-256 of those bytes.
        location: the redirect's target (host and path, no query), if any.
        chain_sha256: the first 16 hexadecimal digits of the SHA-256 over the DER
            certificates as presented, leaf first; None for plain HTTP.
        issuer_sha256: the same of the DER name of who issued the last certificate
            presented: the authority that the chain claims, which outlives renewals.
    """

    status: int
    body_bytes: int
    body_sha256: str
    location: str | None = None
    chain_sha256: str | None = None
    issuer_sha256: str | None = None


class ThroughputDetail(Struct, tag="throughput", frozen=True):
    """How fast a body came in, after the first flight of slow start.

    Attributes:
        bytes: body bytes counted: those after the first 16 KiB, which a sender may
            send before it knows anything of the line.
        duration_us: from the end of those 16 KiB to the last byte counted, or to the
            end of the check where the body had not ended. 0: too short to tell.
        body_bytes: all body bytes read.
    """

    bytes: int
    duration_us: int
    body_bytes: int

    @property
    def bytes_per_s(self) -> float | None:
        """The goodput; None where it was too short to tell."""
        return self.bytes * 1e6 / self.duration_us if self.duration_us else None


class Hop(Struct, frozen=True):
    """A router that answered: at which time to live, from where, after how long."""

    ttl: int
    address: str
    rtt_us: int


class TraceDetail(Struct, tag="trace", frozen=True):
    """The path to a target, without the part that belongs to the host's own network.

    Attributes:
        hops: those that answered, by ascending `ttl`; none is private, shared (RFC 6598)
            or of the line's own network, and none comes before `first_ttl`.
        first_ttl: the first time to live that may be stored.
        last_ttl: how far the probes went.
        reached: the target itself answered.
    """

    hops: tuple[Hop, ...]
    first_ttl: int
    last_ttl: int
    reached: bool


class Attempt(StrEnum):
    """How one fetch of an alternation ended; one letter, so that a row of them is a text."""

    FINE = "f"
    RESET = "r"
    DROPPED = "d"
    CLOSED = "c"
    ALERT = "a"
    OFF_DOMAIN = "o"
    UNREACHED = "u"
    OTHER = "x"


class AlternationDetail(Struct, tag="alternation", frozen=True):
    """The same address asked in turn for a neutral and for a sensitive name.

    Attributes:
        neutral, sensitive: one letter of `Attempt` a fetch, in order. The neutral one
            always goes first: a censor may block an address for minutes after a hit.
        neutral_hello_us, sensitive_hello_us: median time of the TLS handshake, or up to
            a certificate refused as another name's; None: none completed, or plain HTTP.
        neutral_page_us, sensitive_page_us: median time from TCP established to the end
            of the body; None: none completed.
        neutral_page, sensitive_page: what the last answered fetch saw.
    """

    neutral: str
    sensitive: str
    neutral_hello_us: int | None = None
    sensitive_hello_us: int | None = None
    neutral_page_us: int | None = None
    sensitive_page_us: int | None = None
    neutral_page: HttpDetail | None = None
    sensitive_page: HttpDetail | None = None

    @property
    def time_ratio(self) -> float | None:
        """Sensitive over neutral median time, like with like: pages, else handshakes."""
        for sensitive_us, neutral_us in (
            (self.sensitive_page_us, self.neutral_page_us),
            (self.sensitive_hello_us, self.neutral_hello_us),
        ):
            if sensitive_us is not None and neutral_us:
                return sensitive_us / neutral_us
        return None


class NeighbourDetail(Struct, tag="neighbour", frozen=True):
    """A neighbouring address, asked because the target itself timed out.

    Attributes:
        address: the neighbour's: the one that answered, else the first one tried.
        failure: None or `connection_refused` where the neighbour answered.
        rtt_us: how long the handshake took; None without one.
    """

    address: str
    failure: str | None
    rtt_us: int | None = None


class Answer(Struct, frozen=True):
    """What one way of asking said: a failure name or addresses (sorted), after how long."""

    failure: str | None
    addresses: tuple[str, ...] = ()
    time_us: int | None = None


class ContrastDetail(Struct, tag="contrast", frozen=True):
    """The same question over four ways at once; the line's own answer is the sample's main one.

    Attributes:
        own: the line's own resolver, over UDP.
        plain: a resolver of another operator, over UDP.
        tls: that resolver over TLS (RFC 7858).
        https: that resolver over HTTPS (RFC 8484).
    """

    own: Answer
    plain: Answer
    tls: Answer
    https: Answer


class PortalAnswer(StrEnum):
    """How a URL with a known answer answered."""

    FINE = "fine"
    REDIRECTED = "redirected"
    REWRITTEN = "rewritten"


class PortalDetail(Struct, tag="portal", frozen=True):
    """The answer to a portal check, held against the known one; fields as HttpDetail's."""

    answer: PortalAnswer
    status: int
    body_bytes: int
    body_sha256: str
    location: str | None = None


class ModemDetail(Struct, tag="modem", frozen=True):
    """What a line's modem said in a round; None where it said nothing.

    Attributes:
        present: there is a modem; if not, all else is None.
        signal_dbm: the reference signal's power (RSRP), else the whole channel's (RSSI).
        operator: the network's country and network code (MCC and MNC, 5 or 6 digits).
        technology: of the access, such as `lte`.
        packet_service: whether the network serves it data, with or without a session.
    """

    present: bool = True
    sim: Sim | None = None
    registration: Registration | None = None
    bearer: Bearer | None = None
    signal_dbm: int | None = None
    operator: str | None = None
    technology: str | None = None
    packet_service: PacketService | None = None


Detail: TypeAlias = (
    DnsDetail
    | HttpDetail
    | ThroughputDetail
    | TraceDetail
    | AlternationDetail
    | NeighbourDetail
    | ContrastDetail
    | PortalDetail
    | ModemDetail
)

MODEM_TARGET = "modem"
"""What the samples of the modem check stand under; no configured target may be called so."""

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
    target_holds: dict[str, Hold] = {}
    carry_ms: int = 40 * 60_000
    stale_ms: int = 120 * 60_000
    hole_ms: int = 60_000
    hole_periods: int = 4
    tight_ms: int = 120_000
    tight_again_ms: int = 600_000
    baseline_spacing_ms: int = 14 * 60_000
    baseline_span_ms: int = 7 * 24 * 3_600_000
    baseline_values_min: int = 3


class ConfigApplied(Struct, tag="config", frozen=True):
    """A configuration took effect: its hash, round period, targets, and verdict settings.

    `settings` None: an older release wrote this, and its defaults held.
    """

    mono_ms: int
    sha256: str
    period_ms: int
    targets: tuple[TargetNote, ...]
    settings: VerdictSettings | None = None


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

    networks: dict[str, tuple[str, ...]] = {}
    issuers: dict[str, tuple[str, ...]] = {}
    block_addresses: tuple[str, ...] = ()
    block_pages: tuple[str, ...] = ()
    silent_resolvers: tuple[str, ...] = ()
    vantage_up: tuple[str, ...] = ()
    age_ms: int = 0


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
