"""DNS queries and replies as a check sees them: no socket, no clock.

Queries look like a plain stub resolver's (recursion desired, no EDNS). What is
not a reply to our query is told apart from a reply that is broken: the first
is ignored, the second is evidence.
Source: RFC 1035, RFC 5452 section 9 (what a reply must match).
"""

import secrets
from dataclasses import dataclass
from enum import Enum

from linewatch_agent import dns_message
from linewatch_agent.checks.failures import DNS_MALFORMED_REPLY
from linewatch_agent.dns_message import Query
from linewatch_core.errors import MalformedError

ANSWERS_MAX = 32
"""More addresses than any honest name has; bounds the record that a hostile reply can make."""
_CODES = "NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE"
_EXTENDED = "BADVERS BADKEY BADTIME BADMODE BADNAME BADALG BADTRUNC BADCOOKIE"
_RCODES = dict(enumerate(_CODES.split())) | dict(enumerate(_EXTENDED.split(), start=16))
"""IANA's names of response codes; one without a name is written as its number."""

_RCODE_FAILURES = {
    "NXDOMAIN": "dns_nxdomain_error",
    "SERVFAIL": "dns_servfail_error",
    "REFUSED": "dns_refused_error",
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
        if self.rcode != "NOERROR":
            return _RCODE_FAILURES.get(self.rcode, "dns_server_misbehaving")
        return None if self.addresses else "dns_no_answer"

    def differs(self, other: "Reply") -> bool:
        """Return whether two replies to one query say different things, in any order."""
        return self.rcode != other.rcode or set(self.addresses) != set(other.addresses)


def make_query(name: str, family: int) -> Query:
    """Return a query for A (4) or AAAA (6) with a random id; MalformedError for a bad name."""
    return dns_message.make_query(name, family, id=secrets.randbelow(1 << 16))


def parse_reply(query: Query, data: bytes) -> Reply | NotAReply:
    """Return what any bytes say in reply to `query`."""
    try:
        message = dns_message.read_reply(query, data)
    except MalformedError:
        return NotAReply.MALFORMED
    if message is None:
        return NotAReply.UNRELATED
    rcode = _RCODES.get(message.rcode, str(message.rcode))
    return Reply(rcode, message.addresses[:ANSWERS_MAX], message.truncated)


def not_a_reply_failure(seen: set[NotAReply], otherwise: str) -> str:
    """Return the failure name where no reply came but `seen` did."""
    return DNS_MALFORMED_REPLY if NotAReply.MALFORMED in seen else otherwise
