"""What each check saw beside its answer: the details of samples.

No field could hold an address or an identifier of the host. Source: docs/wire-format.md.
"""

from enum import StrEnum
from typing import TypeAlias

from linewatch_core.modem_words import ModemDetail
from linewatch_core.written import Struct


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
