"""What the uplink needs of the rest of the agent, as a protocol (see agent_backend.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from linewatch_agent.store.old_stores import OldSegment, OldStores
from linewatch_agent.uplink.way_order import Way
from linewatch_core.errors import LinewatchError
from linewatch_core.records import Stream
from linewatch_core.sync.messages import Ack, Heads, Status, StreamAck


@dataclass(frozen=True, slots=True)
class LoadedSegment:
    """A segment as the store has it."""

    first: int
    last: int
    data: bytes


class NotNowError(LinewatchError):
    """A backend can't do this now, as on a full disk; another session may find that it can."""


class Backend(Protocol):
    """What the uplink needs of the rest of the agent.

    Only NotNowError ends the session alone; whatever else is raised ends the agent.
    """

    def ways(self) -> Sequence[Way]:
        """Return the ways to try, best first."""

    async def next_conn(self) -> int:
        """Count a connection, durably."""

    def status(self, conn: int, *, state: str) -> Status:
        """Return what a birth, a will or a clean end says."""

    def newest_key(self) -> str:
        """Return the id of the key that signs now."""

    def key_messages(self, known_key: str | None) -> list[bytes]:
        """Return the messages with the signing keys that the server may lack."""

    async def load(self, stream: Stream, seq: int) -> LoadedSegment | None:
        """Return the segment that holds `seq`, or None."""

    async def check_heads(self, heads: Heads) -> None:
        """See that the server's newest segments of this epoch are this store's own."""

    def old_stores(self) -> OldStores | None:
        """Return what is still to be sent of older epochs, or None."""

    async def next_old(self) -> OldSegment | None:
        """Return the segment of an older epoch to send now; None: none yet."""

    async def save_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Remember an ack durably."""

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Take the time that the first ack of a connection carries."""

    def traffic(
        self, line: str | None, *, bytes_out: int, bytes_in: int, opening: bool = False
    ) -> None:
        """Count bytes of the uplink; `opening`: they went into connecting."""

    def recall(self) -> bytes | None:
        """Return what `remember` was last given, or None."""

    async def remember(self, memory: bytes) -> None:
        """Keep some bytes over a restart."""
