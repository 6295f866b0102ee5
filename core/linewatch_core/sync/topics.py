"""The topics of the sync, and whose they are. Source: docs/wire-format.md.

The second level after the version is the client's certificate name: a probe's
id, or the id of an enrolment token.
"""

import re
from dataclasses import dataclass

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream

PREFIX = "lw/1"
ALL_STATUS = f"{PREFIX}/+/status"
ALL_SEGMENTS = tuple(f"{PREFIX}/+/up/{stream.value}" for stream in Stream)
ALL_KEYS = f"{PREFIX}/+/up/keys"
ALL_ENROL = f"{PREFIX}/+/up/enrol"

_CLIENT = re.compile(r"[a-z2-7]{16}|t-[a-z2-7]{16}")


def status(probe: ProbeId) -> str:
    """Birth, will and clean stop of a probe; retained."""
    return f"{PREFIX}/{probe}/status"


def segments(probe: ProbeId, stream: Stream) -> str:
    """Where a probe publishes the segments of one stream."""
    return f"{PREFIX}/{probe}/up/{stream.value}"


def keys(probe: ProbeId) -> str:
    """Where a probe publishes the certificates of its signing keys."""
    return f"{PREFIX}/{probe}/up/keys"


def ack(probe: ProbeId) -> str:
    """Where the server says what is in durable storage."""
    return f"{PREFIX}/{probe}/down/ack"


def enrol_request(token: str) -> str:
    """Where a new probe asks for its certificate."""
    return f"{PREFIX}/{token}/up/enrol"


def enrol_reply(token: str) -> str:
    """Where a new probe is answered."""
    return f"{PREFIX}/{token}/down/enrol"


@dataclass(frozen=True, slots=True)
class Address:
    """A topic taken apart: whose it is, and the rest (`up/raw`, `status`, ...)."""

    client: str
    leaf: str


def parse(topic: str) -> Address:
    """Return whose topic this is and what for, or raise MalformedError."""
    parts = topic.split("/", 3)
    if len(parts) != 4 or f"{parts[0]}/{parts[1]}" != PREFIX or not _CLIENT.fullmatch(parts[2]):
        raise MalformedError(f"not a topic of ours: {topic[:80]!r}")
    return Address(client=parts[2], leaf=parts[3])
