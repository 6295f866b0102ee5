"""DNS queries and replies as bytes and values: no socket, no clock.

Queries look like a plain stub resolver's (recursion desired, no EDNS). What is
not a reply to our query is told apart from a reply that is broken: the first
is ignored, the second is evidence. dnspython does the wire format.
Source: RFC 1035, RFC 5452 section 9 (what a reply must match).
"""

from dataclasses import dataclass
from enum import Enum

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from linewatch_agent.checks.failures import DNS_MALFORMED_REPLY

ANSWERS_MAX = 32
"""More addresses than any honest name has; bounds the record that a hostile reply can make."""
_HEADER_BYTES = 12
_RDATA_TYPE = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}

_RCODE_FAILURES = {
    dns.rcode.NXDOMAIN: "dns_nxdomain_error",
    dns.rcode.SERVFAIL: "dns_servfail_error",
    dns.rcode.REFUSED: "dns_refused_error",
}
"""OONI's names; every other code than NOERROR is `dns_server_misbehaving`."""


class NotAReply(Enum):
    """Why bytes are no reply to a query."""

    UNRELATED = "unrelated"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a query.

    Attributes:
        rcode: as text.
        addresses: those of the family asked for, in the reply's order, at most 32.
        truncated: the reply says that it is not whole.
    """

    rcode: str
    addresses: tuple[str, ...]
    truncated: bool = False

    @property
    def failure(self) -> str | None:
        """OONI's name of what is wrong with the reply, or None."""
        rcode = dns.rcode.from_text(self.rcode)
        if rcode != dns.rcode.NOERROR:
            return _RCODE_FAILURES.get(rcode, "dns_server_misbehaving")
        return None if self.addresses else "dns_no_answer"

    def differs(self, other: "Reply") -> bool:
        """Return whether two replies to one query say different things, in any order."""
        return self.rcode != other.rcode or set(self.addresses) != set(other.addresses)


def make_query(name: str, family: int) -> dns.message.Message:
    """Return a query for A (4) or AAAA (6) with a random id; DNSException for a bad name."""
    return dns.message.make_query(name, _RDATA_TYPE[family])


def parse_reply(query: dns.message.Message, data: bytes) -> Reply | NotAReply:
    """Return what any bytes say in reply to `query`."""
    if len(data) < _HEADER_BYTES or int.from_bytes(data[:2], "big") != query.id:
        return NotAReply.UNRELATED
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
        if not query.is_response(message):
            return NotAReply.UNRELATED
        return Reply(
            rcode=dns.rcode.to_text(message.rcode()),
            addresses=_addresses(message, query.question[0].rdtype),
            truncated=bool(message.flags & dns.flags.TC),
        )
    except Exception:
        # Whatever hostile bytes make a parser raise, they are one thing: malformed.
        return NotAReply.MALFORMED


def not_a_reply_failure(seen: set[NotAReply], otherwise: str) -> str:
    """Return the failure name where no reply came but `seen` did."""
    return DNS_MALFORMED_REPLY if NotAReply.MALFORMED in seen else otherwise


def _addresses(message: dns.message.Message, rdtype: dns.rdatatype.RdataType) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for rrset in message.answer:
        if rrset.rdtype == rdtype and rrset.rdclass == dns.rdataclass.IN:
            found.update((rdata.to_text(), None) for rdata in rrset)
    return tuple(found)[:ANSWERS_MAX]
