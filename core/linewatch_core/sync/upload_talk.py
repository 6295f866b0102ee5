"""What the uploader is told and what it orders: the words between machine and driver.

Values only; uploader.py decides. Source: docs/wire-format.md, "Sync".
"""

from dataclasses import dataclass
from typing import TypeAlias

from linewatch_core.records import Stream
from linewatch_core.sync.messages import Ack, StreamAck


@dataclass(frozen=True, slots=True)
class Held:
    """The store has the sealed segments first..last of `stream`."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The store no longer has first..last whole (thinned, or gone): never to be sent."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Connected:
    """Subscribed, and the birth with this number is published."""

    conn: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, whatever the reason."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The segment first..last that a `Send` asked for is handed to the client, `size` bytes."""

    stream: Stream
    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has taken that segment (PUBACK). That is not storage."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The server said what it has."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = Held | Dropped | Connected | Disconnected | Sent | Published | AckReceived | Tick


@dataclass(frozen=True, slots=True)
class Send:
    """Load the segment that holds `seq` and publish it; answer with `Sent` or `Dropped`."""

    stream: Stream
    seq: int


@dataclass(frozen=True, slots=True)
class SaveAck:
    """Remember what the server has of this stream."""

    stream: Stream
    ack: StreamAck


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop this connection and try another way."""

    reason: str


Command: TypeAlias = Send | SaveAck | Reconnect
