"""An uplink on a real broker: the probe's side with a store in memory, the server's by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey, VerifyKey

from linewatch_agent import clock
from linewatch_agent.identity.identity import Identity
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.fleet_tls import FleetContext, tls_context
from linewatch_agent.store.old_stores import OldSegment, OldStores
from linewatch_agent.uplink.backend import LoadedSegment
from linewatch_agent.uplink.uplink import Uplink
from linewatch_agent.uplink.way_order import Way
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.messages import Ack, Heads, Status, StreamAck, sign_ack
from linewatch_core.sync.upload_talk import Held
from linewatch_core.sync.uploader import Uploader, UploadLimits
from linewatch_server.fleet.keys import read_ack_seed
from tests.support.broker import LocalServer

EPOCH = "00112233445566aa"
SERVER_MS = 1_790_000_000_000


@dataclass
class MemoryBackend:
    """The rest of an agent: segments of ten records each, kept in memory."""

    machine: Uploader
    all_ways: Sequence[Way]
    conn: int = 0
    key: str = "key-1"
    acks: list[tuple[Stream, StreamAck]] = field(default_factory=list)
    times: list[Ack] = field(default_factory=list)
    loaded: list[int] = field(default_factory=list)
    fails: Exception | None = None
    missing: set[int] = field(default_factory=set)
    kept: bytes | None = None
    old: OldStores | None = None
    heads: list[Heads] = field(default_factory=list)
    forked: Exception | None = None

    def ways(self) -> Sequence[Way]:
        """Return the ways of the test."""
        return self.all_ways

    async def next_conn(self) -> int:
        """Count a connection, or fail as the test says."""
        if self.fails is not None:
            raise self.fails
        self.conn += 1
        return self.conn

    def status(self, conn: int, *, state: Any) -> Status:
        """Return a status."""
        return Status(state=state, conn=conn, epoch=EPOCH, held=self.machine.held_bounds())

    def newest_key(self) -> str:
        """Return the id of the key that signs now."""
        return self.key

    def key_messages(self, known_key: str | None) -> list[bytes]:
        """Return one message that says what was known and what is new."""
        return [] if known_key == self.key else [f"{known_key} -> {self.key}".encode()]

    async def load(self, stream: Stream, seq: int) -> LoadedSegment | None:
        """Return a segment whose bytes are its name."""
        self.loaded.append(seq)
        if isinstance(self.fails, Exception):
            raise self.fails
        if seq in self.missing:
            return None
        first = seq - (seq - 1) % 10
        return LoadedSegment(first, first + 9, f"{stream} {first}".encode())

    async def check_heads(self, heads: Heads) -> None:
        """Find nothing wrong, unless the test says so."""
        self.heads.append(heads)
        if self.forked is not None:
            raise self.forked

    def old_stores(self) -> OldStores | None:
        """Return those of the test."""
        return self.old

    async def next_old(self) -> OldSegment | None:
        """Return the segment to send now."""
        return None if self.old is None else self.old.take(clock.mono_s())

    async def save_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Remember an ack."""
        self.acks.append((stream, ack))

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Remember the time."""
        self.times.append(ack)

    def traffic(
        self, line: str | None, *, bytes_out: int, bytes_in: int, opening: bool = False
    ) -> None:
        """Count nothing."""

    def recall(self) -> bytes | None:
        """Return what was kept."""
        return self.kept

    async def remember(self, memory: bytes) -> None:
        """Keep it."""
        self.kept = memory


@dataclass
class Scene:
    """One uplink that runs, and what the server's side saw of it."""

    server: LocalServer
    identity: Identity
    uplink: Uplink
    backend: MemoryBackend
    ack_key: SigningKey
    hears: LineClient
    task: "asyncio.Task[None] | None" = None
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def probe(self) -> ProbeId:
        """The probe's id."""
        return self.identity.probe

    def hold(self, first: int, last: int, stream: Stream = Stream.RAW) -> None:
        """Let the store have sealed records."""
        self.uplink.feed(Held(stream, first, last))

    async def say(self, through: int, *, birth: bool = True, **changes: Any) -> None:
        """Acknowledge all streams up to a number; on the present connection unless told else."""
        values: dict[str, Any] = {
            "probe": self.probe,
            "epoch": EPOCH,
            "conn": self.backend.conn,
            "birth": birth,
            "streams": {stream: StreamAck(through) for stream in Stream},
            "server_ms": SERVER_MS,
            "server_error_ms": 5,
            "key": self.backend.key,
        }
        key = changes.pop("signed_with", self.ack_key)
        message = sign_ack(Ack(**{**values, **changes}), key)
        await self.hears.publish(topics.ack(self.probe), message, qos=1)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for what must come true soon."""
        async with asyncio.timeout(120):
            while not true():
                if self.task is not None and self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    def segments(self) -> list[bytes]:
        """Return the segments that arrived, in order."""
        return [data for topic, data in self.heard if "/up/r" in topic or "/up/ev" in topic]

    def statuses(self) -> list[bytes]:
        """Return the statuses that arrived, in order."""
        return [data for topic, data in self.heard if topic.endswith("/status")]

    async def listen(self) -> None:
        """Take down what the broker delivers, for ever."""
        async for message in self.hears.messages:
            assert isinstance(message.payload, bytes)
            self.heard.append((str(message.topic), message.payload))

    def start(self) -> None:
        """Run the uplink."""
        self.task = asyncio.create_task(self.uplink.run())

    async def stop(self) -> None:
        """Cancel the uplink, as the app does at the end."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None


def identity_tls(identity: Identity) -> FleetContext:
    """Return a probe's TLS context."""
    return tls_context(
        authority_pem=identity.authority_pem,
        certificate=identity.certificate_path,
        key=identity.key_path,
    )


@asynccontextmanager
async def scene(
    server: LocalServer,
    folder: Path,
    ways: Sequence[Way],
    *,
    limits: UploadLimits | None = None,
    tls: Callable[[], FleetContext] | None = None,
    presence: bool = True,
    budget_s: float = 30.0,
    kept: bytes | None = None,
) -> AsyncIterator[Scene]:
    """Yield an enrolled probe's uplink, not started, and the server's ear at the broker."""
    identity = await server.enrol_probe(folder / "probe")
    machine = Uploader(epoch=EPOCH, limits=limits)
    backend = MemoryBackend(machine, ways, kept=kept)
    ack_key = SigningKey(read_ack_seed(server.layout))
    uplink = Uplink(
        probe=identity.probe,
        machine=machine,
        backend=backend,
        ack_key=VerifyKey(bytes(ack_key.verify_key)),
        tls=tls or (lambda: identity_tls(identity)),
        now_s=clock.mono_s,
        presence=presence,
        budget_s=budget_s,
    )
    async with server.client() as hears:
        await hears.subscribe("lw/1/+/up/#", qos=1)
        await hears.subscribe("lw/1/+/status", qos=1)
        made = Scene(server, identity, uplink, backend, ack_key, hears)
        listening = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            await made.stop()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await listening
