"""The driver between broker and ingest: messages in batches, acks out.

One MQTT client; a new one after each loss of the broker. Batches run on a
thread, since they end in fsync. What arrives while a batch is being stored
makes the next one.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Sequence

import aiomqtt
import structlog
from nacl.signing import SigningKey

from linewatch_core.errors import first_error
from linewatch_core.ids import ProbeId
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import SayAck
from linewatch_core.sync.messages import Ack, sign_ack
from linewatch_server.archive import ArchiveFullError
from linewatch_server.clock import ServerClock
from linewatch_server.ingest import Ingest, Message

log = structlog.get_logger()

BATCH_MAX = 256
RETRY_S = 2.0

Answer = Callable[[bytes, str], bytes]
"""Takes an enrolment request and the topic that it came on, returns the reply."""


class Collector:
    """Feeds the ingest from the broker for as long as it runs."""

    def __init__(
        self,
        ingest: Ingest,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        ack_key: SigningKey,
        clock: ServerClock,
        answer_enrolment: Answer,
    ) -> None:
        self._ingest = ingest
        self._host = host
        self._port = port
        self._tls = tls
        self._ack_key = ack_key
        self._clock = clock
        self._answer = answer_enrolment
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._storing = asyncio.Lock()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Collect, for ever; a lost broker is tried again."""
        while True:
            try:
                await self._session()
            except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
                log.warning("broker_lost", reason=str(first_error(group)))
            finally:
                self.connected.clear()
            await asyncio.sleep(RETRY_S)

    async def finish(self) -> None:
        """Take no more messages; return when the batch in hand is stored."""
        await self._storing.acquire()

    async def _session(self) -> None:
        client = aiomqtt.Client(
            self._host,
            self._port,
            # Random: whoever else connects with the same identifier would disconnect us.
            identifier=secrets.token_hex(8),
            tls_context=self._tls,
            keepalive=30,
        )
        async with client:
            for topic in (*topics.ALL_SEGMENTS, topics.ALL_KEYS, topics.ALL_ENROL):
                await client.subscribe(topic, qos=1)
            # Last: the retained births that now come are answered with acks.
            await client.subscribe(topics.ALL_STATUS, qos=1)
            self.connected.set()
            log.info("broker_joined", port=self._port)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(client), name="collector-receive")
                tasks.create_task(self._store(client), name="collector-store")

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = message.topic.value
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if topic.endswith("/up/enrol"):
                await self._enrol(client, topic, payload)
            elif payload or not topic.endswith("/status"):
                # An empty retained status is a cleared one: a retired probe.
                self._queue.put_nowait(Message(topic, payload, self._clock.utc_ms()))
        raise aiomqtt.MqttError("the broker closed the connection")

    async def _enrol(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        token = topics.parse(topic).client
        async with self._storing:
            reply = await asyncio.to_thread(self._answer, payload, topic)
        await client.publish(topics.enrol_reply(token), reply, qos=1)

    async def _store(self, client: aiomqtt.Client) -> None:
        while True:
            batch = await self._next_batch()
            try:
                async with self._storing:
                    said = await asyncio.to_thread(self._take, batch)
            except ArchiveFullError as error:
                # Nothing is acknowledged, so the probes keep it and send it again.
                log.error("archive_full", reason=str(error))
                continue
            await self._say(client, said)

    def _take(self, batch: Sequence[Message]) -> list[tuple[ProbeId, SayAck]]:
        now_s = self._clock.mono_s()
        return [*self._ingest.take(batch, now_s), *self._ingest.tick(now_s)]

    async def _next_batch(self) -> list[Message]:
        """Wait for messages or for an ack to fall due; return what is there."""
        due = self._ingest.wakeup_at()
        wait_s = None if due is None else max(0.0, due - self._clock.mono_s())
        try:
            async with asyncio.timeout(wait_s):
                batch = [await self._queue.get()]
        except TimeoutError:
            return []
        while len(batch) < BATCH_MAX and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _say(self, client: aiomqtt.Client, said: Sequence[tuple[ProbeId, SayAck]]) -> None:
        for probe, ack in said:
            message = Ack(
                probe=probe,
                epoch=ack.epoch,
                conn=ack.conn,
                birth=ack.birth,
                streams=ack.streams,
                server_ms=self._clock.utc_ms(),
                server_error_ms=self._clock.error_ms(),
                key=self._ingest.newest_key(probe),
            )
            await client.publish(topics.ack(probe), sign_ack(message, self._ack_key), qos=1)
