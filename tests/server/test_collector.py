"""Between a real broker and the ingest: batches in, signed acks out, whatever breaks."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import pytest
from nacl.signing import SigningKey, VerifyKey

from linewatch_agent.identity.identity import Identity
from linewatch_agent.mqtt.client import LineClient
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.messages import Ack, Status, StreamAck, encode_status, open_ack
from linewatch_server import collector as module
from linewatch_server.app import _tls
from linewatch_server.archive.reader import ArchiveFullError
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.clock import ServerClock
from linewatch_server.collector import Collector
from linewatch_server.fleet.keys import read_ack_seed
from linewatch_server.index.opening import Opener
from linewatch_server.index.writer import Index
from linewatch_server.ingest import Ingest, Message
from tests.support.broker import HOST, LocalServer, running_server
from tests.support.probes import ProbeWriter, boot_id, sample

BOOT = boot_id("first")


@dataclass
class Scene:
    """A collector that runs, and a probe of the fleet that talks to it."""

    server: LocalServer
    collector: Collector
    archive: ArchiveWriter
    ingest: Ingest
    writer: ProbeWriter
    probe: ProbeId
    client: LineClient
    ack_key: VerifyKey
    acks: list[Ack] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Run the collector."""
        self.task = asyncio.create_task(self.collector.run())

    async def stop(self) -> None:
        """Cancel the collector."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None

    async def birth(self, conn: int = 1) -> None:
        """Say on which connection the probe is."""
        said = Status(state="online", conn=conn, epoch=self.writer.epoch)
        await self.client.publish(
            topics.status(self.probe), encode_status(said), qos=1, retain=True
        )

    async def send(self, count: int = 10) -> bytes:
        """Publish the probe's next segment and return it."""
        data = self.writer.close(BOOT, [sample(60_000 + n) for n in range(count)])
        await self.client.publish(topics.segments(self.probe, Stream.RAW), data, qos=1)
        return data

    def acked(self) -> StreamAck | None:
        """Return the last ack of `raw`."""
        said = [ack.streams[Stream.RAW] for ack in self.acks if Stream.RAW in ack.streams]
        return said[-1] if said else None

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for what must come true soon."""
        async with asyncio.timeout(120):
            while not true():
                if self.task is not None and self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def listen(self) -> None:
        """Take the acks, for ever."""
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.acks.append(open_ack(message.payload, self.ack_key))


@dataclass
class FleetWriter(ProbeWriter):
    """A writer of segments under an enrolled probe's id."""

    identity: Identity | None = None

    @property
    def probe(self) -> ProbeId:
        """The enrolled id."""
        assert self.identity is not None
        return self.identity.probe


@asynccontextmanager
async def scene(server: LocalServer, folder: Path) -> AsyncIterator[Scene]:
    """Yield a collector, not started, and a probe that is connected and hears its acks."""
    identity = await server.enrol_probe(folder / "probe")
    writer = FleetWriter(identity=identity)
    ack_key = SigningKey(read_ack_seed(server.layout))
    with ArchiveWriter(server.layout.directory) as archive:
        index = Index(server.layout.directory, archive, Opener())
        with contextlib.closing(index):
            roots = {identity.probe: writer.key.public}
            ingest = Ingest(archive, index, root_key=roots.get)
            made = Collector(
                ingest,
                host=HOST,
                port=server.mqtts.port,
                tls=_tls(server.layout),
                ack_key=ack_key,
                clock=ServerClock(7),
                answer_enrolment=lambda request, topic: request + b" on " + topic.encode(),
                spread_s=lambda: 45,
            )
            async with server.probe_client(identity) as client:
                await client.subscribe(topics.ack(identity.probe), qos=1)
                here = Scene(
                    server,
                    made,
                    archive,
                    ingest,
                    writer,
                    identity.probe,
                    client,
                    VerifyKey(bytes(ack_key.verify_key)),
                )
                listening = asyncio.create_task(here.listen())
                try:
                    yield here
                finally:
                    await here.stop()
                    listening.cancel()
                    with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                        await listening


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(module, "RETRY_S", 0.05)


async def test_what_is_stored_is_acknowledged_in_the_servers_name(
    server: LocalServer, tmp_path: Path
) -> None:
    """Signed, with the time and its bound, on the probe's own topic."""
    async with scene(server, tmp_path) as here:
        here.start()
        await here.birth(conn=3)
        await here.until(lambda: here.acks)
        await here.send()
        await here.until(lambda: here.acked() == StreamAck(10))
        first, last = here.acks[0], here.acks[-1]
        assert (first.spread_s, last.spread_s) == (45, 45)
        assert (first.birth, last.birth) == (True, False)
        assert (last.conn, last.probe, last.server_error_ms) == (3, here.probe, 7)
        assert last.key is not None
        assert abs(last.server_ms - ServerClock().utc_ms()) < 60_000


async def test_births_from_before_the_start_are_answered(
    server: LocalServer, tmp_path: Path
) -> None:
    """The probe that waited for the server hears from it at once, without a new connection."""
    async with scene(server, tmp_path) as here:
        await here.birth()
        here.start()
        await here.until(lambda: here.acks)
        assert here.acks[0].birth


async def test_a_broker_that_was_away_is_joined_again(server: LocalServer, tmp_path: Path) -> None:
    """The collector comes back by itself; the kept birth is answered anew."""
    async with scene(server, tmp_path) as here:
        here.start()
        await here.until(here.collector.connected.is_set)
        server.kill_broker()
        await here.until(lambda: not here.collector.connected.is_set())
        await here.until(here.collector.connected.is_set)
        assert here.task is not None
        assert not here.task.done()


async def test_an_enrolment_is_answered_and_nonsense_is_not(
    server: LocalServer, tmp_path: Path
) -> None:
    """On the token's own topic; a topic of nobody does not end the server."""
    async with scene(server, tmp_path) as here, server.client() as anyone:
        token = "t-" + "a" * 16
        await anyone.subscribe(topics.enrol_reply(token), qos=1)
        here.start()
        await here.until(here.collector.connected.is_set)
        await anyone.publish("lw/1/NOBODY/up/enrol", b"x", qos=1)
        await anyone.publish("lw/1/NOBODY/up/raw", b"x", qos=1)
        await anyone.publish(topics.status(here.probe), b"", qos=1, retain=True)
        await anyone.publish(topics.enrol_request(token), b"request", qos=1)
        async with asyncio.timeout(60):
            reply = await anext(aiter(anyone.messages))
        assert reply.payload == f"request on {topics.enrol_request(token)}".encode()
        assert here.ingest.counts.refused.total() == 1


async def test_a_full_disk_keeps_the_batch_until_there_is_room(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ack meanwhile; then the same messages are stored, though nobody sent them again."""
    async with scene(server, tmp_path) as here:
        real, tries = here.archive.append, [0]

        def full(*_: object) -> None:
            tries[0] += 1
            raise ArchiveFullError("cannot store: no space left")

        monkeypatch.setattr(here.archive, "append", full)
        here.start()
        await here.until(here.collector.connected.is_set)
        await here.birth()
        data = await here.send()
        await here.until(lambda: tries[0] > 3)
        assert here.acks == []
        monkeypatch.setattr(here.archive, "append", real)
        await here.until(lambda: here.acked() == StreamAck(10))
        assert data in [entry.payload for _, entry in here.archive.entries()]


async def test_a_stop_while_the_disk_is_full_is_no_wait_for_room(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`finish` waits for what is being stored, not for what can't be."""
    async with scene(server, tmp_path) as here:

        def full(*_: object) -> None:
            raise ArchiveFullError("cannot store: no space left")

        monkeypatch.setattr(here.archive, "append", full)
        here.start()
        await here.birth()
        await here.until(lambda: here.collector._full)
        async with asyncio.timeout(60):
            await here.collector.finish()


async def test_a_stop_stores_and_acknowledges_the_batch_in_hand(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`finish` returns after both."""
    began, go_on = threading.Event(), threading.Event()
    async with scene(server, tmp_path) as here:
        here.start()
        await here.birth()
        await here.until(lambda: here.acks)
        real = here.archive.sync

        def slow() -> None:
            began.set()
            go_on.wait(60)
            real()

        monkeypatch.setattr(here.archive, "sync", slow)
        here.ingest.tick(0)
        await here.send()
        await here.until(began.is_set)
        finishing = asyncio.create_task(here.collector.finish())
        await asyncio.sleep(0.05)
        assert not finishing.done()
        go_on.set()
        await finishing
        await here.stop()
        assert here.ingest.counts.decided.total() == 1


async def test_a_lost_broker_never_makes_two_batches_at_once(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session goes while the disk is slow: the next batch waits for the first to end."""
    began, go_on = threading.Event(), threading.Event()
    inside, most = [0], [0]
    async with scene(server, tmp_path) as here:
        real = here.ingest.take

        def take(messages: Sequence[Message], now_s: float) -> object:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            began.set()
            go_on.wait(60)
            try:
                return real(messages, now_s)
            finally:
                inside[0] -= 1

        monkeypatch.setattr(here.ingest, "take", take)
        here.start()
        await here.until(here.collector.connected.is_set)
        await here.birth()
        await here.until(began.is_set)
        server.kill_broker()
        await here.until(lambda: not here.collector.connected.is_set())
        await here.until(here.collector.connected.is_set)
        await asyncio.sleep(0.2)
        assert most[0] == 1
        go_on.set()


async def test_a_stop_while_a_session_fails_is_a_stop(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's own failure hides that it was cancelled: the collector ends all the same."""
    waiting = asyncio.Event()

    async def session(_: Collector) -> None:
        waiting.set()
        try:
            await asyncio.sleep(3600)
        finally:
            raise aiomqtt.MqttError("lost just then")

    monkeypatch.setattr(Collector, "_session", session)
    async with scene(server, tmp_path) as here:
        here.start()
        assert here.task is not None
        await waiting.wait()
        here.task.cancel()
        await here.until(lambda: here.task is None or here.task.cancelled())


async def test_a_bug_ends_the_collector(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does a disk that fails: neither is a lost broker."""
    async with scene(server, tmp_path) as here:

        def broken(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(here.ingest, "take", broken)
        here.start()
        await here.birth()
        task, here.task = here.task, None
        assert task is not None
        with pytest.raises(ExceptionGroup):
            async with asyncio.timeout(60):
                await task


@pytest.mark.parametrize(
    ("waiting", "credit"),
    [(0, 262_144), (511, 262_144), (512, 32_768), (2047, 32_768), (2048, 4_096), (9999, 4_096)],
)
def test_the_longer_the_queue_the_smaller_the_credit(waiting: int, credit: int) -> None:
    """Never 0: a probe that waits with nothing on its way would get no further ack."""
    assert module.credit_bytes(waiting) == credit


async def test_a_busy_server_says_so_in_its_acks(server: LocalServer, tmp_path: Path) -> None:
    """What still waits behind a batch counts; once it is stored, the credit is whole again."""
    async with scene(server, tmp_path) as here:
        birth = encode_status(Status(state="online", conn=1, epoch=here.writer.epoch))
        queue = here.collector._queue
        queue.put_nowait(Message(topics.status(here.probe), birth, 0))
        for _ in range(600 + module.BATCH_MAX):
            queue.put_nowait(Message("nobody's", b"", 0))
        here.start()
        await here.until(lambda: here.acks)
        assert here.acks[0].credit_bytes == 32_768
        await here.send()
        await here.until(lambda: here.acked() == StreamAck(10))
        assert here.acks[-1].credit_bytes == 262_144
