"""What the uplink asks of the rest of the agent: ways, segments, status, time.

Joins store, lines, keys and clock; holds no state of its own but the bytes
that the uplink used.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from linewatch_agent import clock
from linewatch_agent.lines.connect import connect_over
from linewatch_agent.mqtt.opening import open_socket
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.plan.line import Line
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.old_stores import OldSegment, OldStores
from linewatch_agent.store.store import Store
from linewatch_agent.store.writer import WriterThread
from linewatch_agent.timekeeper import Timekeeper
from linewatch_agent.uplink.backend import LoadedSegment, NotNowError
from linewatch_agent.uplink.way_order import Way
from linewatch_core.records import Stream
from linewatch_core.sync.messages import Ack, Heads, Status, StreamAck
from linewatch_core.sync.uploader import Uploader

_T = TypeVar("_T")

MEMORY = "uplink"
"""The name under which the store keeps what the uplink remembers."""


class AgentBackend:
    """The `uplink.Backend` of a running agent."""

    def __init__(
        self,
        *,
        store: Store,
        writer: WriterThread,
        keys: SigningKeys,
        machine: Uploader,
        timekeeper: Timekeeper,
        lines: Callable[[], Sequence[Line]],
        endpoints: Sequence[Endpoint],
        bound: bool,
        version: str,
        on_traffic: Callable[..., None] = lambda _, __, **___: None,
        may_connect: Callable[[str], bool] = lambda _: True,
        on_ack: Callable[[Stream, StreamAck], Awaitable[None]] | None = None,
        old_stores: OldStores | None = None,
    ) -> None:
        """Join the parts.

        Args:
            old_stores: what stores that were set aside still have to send.
            on_ack: is told what the server has in durable storage, once that is written down.
            on_traffic: takes the line and the bytes, both ways, that the uplink used, and as
                `opening` whether for connecting.
            may_connect: whether a line's month allows a connection now.
            bound: connect over each line in turn; else as the machine routes.
        """
        self._store = store
        self._writer = writer
        self._keys = keys
        self._old_stores = old_stores
        self._machine = machine
        self._timekeeper = timekeeper
        self._lines = lines
        self._endpoints = endpoints
        self._bound = bound
        self._version = version
        self._on_traffic = on_traffic
        self._may_connect = may_connect
        self._on_ack = on_ack
        self.bytes_out: Counter[str] = Counter()
        self.bytes_in: Counter[str] = Counter()

    def ways(self) -> Sequence[Way]:
        """Return every endpoint over every usable line that may connect now, endpoints first."""
        if not self._bound:
            return [Way(endpoint, None, open_socket) for endpoint in self._endpoints]
        return [
            Way(endpoint, line.id, connect_over(line))
            for endpoint in self._endpoints
            for line in self._lines()
            if line.usable and self._may_connect(line.id)
        ]

    async def next_conn(self) -> int:
        """Count a connection, durably."""
        return await self._stored(self._store.kept.next_conn)

    def status(self, conn: int, *, state: str) -> Status:
        """Return what a birth, a will or a clean end says; of the host it says nothing."""
        match state:
            case "online":
                return Status(
                    state="online",
                    conn=conn,
                    epoch=self._store.epoch,
                    version=self._version,
                    held=self._machine.held_bounds(),
                    backlog=self._machine.backlog(),
                    clock=self._timekeeper.present(),
                )
            case "stopped":
                return Status(state="stopped", conn=conn, epoch=self._store.epoch)
            case _:
                return Status(state="lost", conn=conn, epoch=self._store.epoch)

    def newest_key(self) -> str:
        """Return the id of the key that signs now."""
        return self._keys.current.id

    def key_messages(self, known_key: str | None) -> list[bytes]:
        """Return the messages with the signing keys that the server may lack."""
        return self._keys.messages_after(known_key)

    async def load(self, stream: Stream, seq: int) -> LoadedSegment | None:
        """Return the segment that holds `seq`, or None."""
        loaded = await self._stored(lambda: self._store.load(stream, seq))
        if loaded is None:
            return None
        where, data = loaded
        return LoadedSegment(where.first, where.last, data)

    async def check_heads(self, heads: Heads) -> None:
        """End the agent if the store went back to an earlier state: it must start anew."""
        await self._stored(lambda: self._store.check_heads(heads))

    def old_stores(self) -> OldStores | None:
        """Return what is still to be sent of stores that were set aside."""
        return self._old_stores

    async def next_old(self) -> OldSegment | None:
        """Return the segment of one of them to send now; None: none yet."""
        old = self._old_stores
        return None if old is None else await self._stored(lambda: old.take(clock.mono_s()))

    async def save_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Remember an ack durably."""
        await self._stored(lambda: self._store.save_ack(stream, ack, now_ms=clock.mono_ms()))
        if self._on_ack is not None:
            await self._on_ack(stream, ack)

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Take the time that the first ack of a connection carries."""
        self._timekeeper.server_time(ack, birth_sent_s=birth_sent_s)

    def traffic(
        self, line: str | None, *, bytes_out: int, bytes_in: int, opening: bool = False
    ) -> None:
        """Count bytes of the uplink, per line; without a binding nobody knows which."""
        self.bytes_out[line or ""] += bytes_out
        self.bytes_in[line or ""] += bytes_in
        if line is not None:
            self._on_traffic(line, bytes_out + bytes_in, opening=opening)

    def recall(self) -> bytes | None:
        """Return what `remember` was last given, or None."""
        return self._store.kept.recall(MEMORY)

    async def remember(self, memory: bytes) -> None:
        """Keep some bytes over a restart."""
        await self._stored(lambda: self._store.kept.remember(MEMORY, memory))

    async def _stored(self, function: Callable[[], _T]) -> _T:
        """Run `function` on the store's thread; a full disk ends the session only."""
        try:
            return await self._writer.run(function)
        except StoreFullError as error:
            raise NotNowError(str(error)) from error
