"""What a sample saw, as the API answers it: one type for each kind of detail.

Fields are those of linewatch_core.records, which says what they mean.
"""

from typing import TypeAlias

import msgspec

from linewatch_core.details import PortalAnswer
from linewatch_core.modem_words import Bearer, PacketService, Registration, Sim


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all answers."""


class DnsSeen(Answer, frozen=True, kw_only=True, tag="dns", tag_field="kind"):
    """What a DNS check saw: the reply, and a second one to the same query if it differed."""

    rcode: str
    answers: tuple[str, ...]
    second: tuple[str, ...] | None
    second_after_us: int | None


class PageSeen(Answer, frozen=True, kw_only=True):
    """A page: status, body, redirect and the certificate chain's hash."""

    status: int
    body_bytes: int
    body_sha256: str
    location: str | None
    chain_sha256: str | None
    issuer_sha256: str | None


class HttpSeen(PageSeen, frozen=True, kw_only=True, tag="http", tag_field="kind"):
    """What an HTTP check saw."""


class ThroughputSeen(Answer, frozen=True, kw_only=True, tag="throughput", tag_field="kind"):
    """How many bytes came in how long, after the first flight of slow start."""

    bytes: int
    duration_us: int
    body_bytes: int


class HopSeen(Answer, frozen=True, kw_only=True):
    """A router that answered."""

    ttl: int
    address: str
    rtt_us: int


class TraceSeen(Answer, frozen=True, kw_only=True, tag="trace", tag_field="kind"):
    """The path to a target, beyond the host's own network."""

    hops: tuple[HopSeen, ...]
    first_ttl: int
    last_ttl: int
    reached: bool


class AlternationSeen(Answer, frozen=True, kw_only=True, tag="alternation", tag_field="kind"):
    """The same address asked in turn for a neutral and for a sensitive name: a letter a fetch."""

    neutral: str
    sensitive: str
    neutral_hello_us: int | None
    sensitive_hello_us: int | None
    neutral_page_us: int | None
    sensitive_page_us: int | None
    neutral_page: PageSeen | None
    sensitive_page: PageSeen | None


class NeighbourSeen(Answer, frozen=True, kw_only=True, tag="neighbour", tag_field="kind"):
    """A neighbouring address, asked because the target timed out."""

    address: str
    failure: str | None
    rtt_us: int | None


class NameAnswer(Answer, frozen=True, kw_only=True):
    """What one way of asking for a name said."""

    failure: str | None
    addresses: tuple[str, ...]
    time_us: int | None


class ContrastSeen(Answer, frozen=True, kw_only=True, tag="contrast", tag_field="kind"):
    """The same question over four ways at once."""

    own: NameAnswer
    plain: NameAnswer
    tls: NameAnswer
    https: NameAnswer


class PortalSeen(Answer, frozen=True, kw_only=True, tag="portal", tag_field="kind"):
    """The answer to a portal check, held against the known one."""

    answer: PortalAnswer
    status: int
    body_bytes: int
    body_sha256: str
    location: str | None


class ModemSeen(Answer, frozen=True, kw_only=True, tag="modem", tag_field="kind"):
    """What a line's modem said; null where it said nothing."""

    present: bool
    sim: Sim | None
    registration: Registration | None
    bearer: Bearer | None
    signal_dbm: int | None
    operator: str | None
    technology: str | None
    packet_service: PacketService | None


Seen: TypeAlias = (
    DnsSeen
    | HttpSeen
    | ThroughputSeen
    | TraceSeen
    | AlternationSeen
    | NeighbourSeen
    | ContrastSeen
    | PortalSeen
    | ModemSeen
)
