"""The driver between broker and ingest: messages in batches, acks out.

One MQTT client; a new one after each loss of the broker. Batches run one after
the other on a thread of their own, since they end in fsync: a lost connection
does not end a batch that has begun. What arrives meanwhile makes the next one.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aiomqtt
import structlog
from nacl.signing import SigningKey

from linewatch_core.errors import MalformedError, first_error
from linewatch_core.ids import ProbeId
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import SayAck
from linewatch_core.sync.messages import Ack, sign_ack
from linewatch_server.broker_client import BrokerClient
from linewatch_server.clock import ServerClock
from linewatch_server.ingest import Ingest, Message, NoRoomError

log = structlog.get_logger()

_T = TypeVar("_T")

BATCH_MAX = 256
QUEUE_MAX = 4096
"""Messages kept in memory while the disk is busy, here and again in the client. What comes
beyond is dropped, and sent again by its probe, which never had an ack for it."""
CREDITS = ((512, 256 * 1024), (2048, 32 * 1024), (None, 4 * 1024))
"""So many messages wait -> so much may a probe have on its way without an ack. A thousand
probes with one segment each still fit the queue: a busy server slows its fleet, instead of
dropping what the fleet would only send again five minutes later."""
RETRY_S = 2.0

Answer = Callable[[bytes, str], bytes]
"""Takes an enrolment request and the topic that it came on, returns the reply."""


def credit_bytes(waiting: int) -> int:
    """Return the credit that acks carry while so many messages wait to be stored."""
    return next(credit for below, credit in CREDITS if below is None or waiting < below)


def _end_if_cancelled() -> None:
    """Raise CancelledError if the running task was cancelled.

    Our cancellation is passed to the session's task; one that is just failing ends
    with its own error instead, and we would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


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
        spread_s: Callable[[], int] = lambda: 0,
    ) -> None:
        self._ingest = ingest
        self._host = host
        self._port = port
        self._tls = tls
        self._ack_key = ack_key
        self._clock = clock
        self._answer = answer_enrolment
        self._spread_s = spread_s
        self._queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE_MAX)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="collector")
        self._storing = asyncio.Lock()
        self._full = False
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Collect, for ever; a lost broker is tried again."""
        try:
            while True:
                try:
                    # In a task of its own: a TaskGroup that fails leaves its task marked as
                    # being cancelled before Python 3.11.4, which breaks asyncio.timeout.
                    await asyncio.create_task(self._session(), name="collector-session")
                except* (aiomqtt.MqttError, ConnectionError, TimeoutError) as group:
                    log.warning("broker_lost", reason=str(first_error(group)))
                finally:
                    self.connected.clear()
                _end_if_cancelled()
                await asyncio.sleep(RETRY_S)
        finally:
            # The batch in hand ends before anybody closes the archive under it.
            self._thread.shutdown(wait=True)

    async def finish(self) -> None:
        """Take no more messages; return when the batch in hand is stored and acknowledged."""
        await self._storing.acquire()

    async def _session(self) -> None:
        client = BrokerClient(
            self._host,
            self._port,
            # Random: whoever else connects with the same identifier would disconnect us.
            identifier=secrets.token_hex(8),
            tls_context=self._tls,
            keepalive=30,
            max_queued_incoming_messages=QUEUE_MAX,
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
                await self._queue.put(Message(topic, payload, self._clock.utc_ms()))
        raise aiomqtt.MqttError("the broker closed the connection")

    async def _enrol(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        try:
            token = topics.parse(topic).client
        except MalformedError as error:
            log.warning("message_refused", reason="not_ours", detail=str(error))
            return
        reply = await self._on_thread(lambda: self._answer(payload, topic))
        await client.publish(topics.enrol_reply(token), reply, qos=1)

    async def _store(self, client: aiomqtt.Client) -> None:
        while True:
            batch = await self._next_batch()
            while True:
                async with self._storing:
                    if await self._store_and_say(client, batch):
                        break
                await asyncio.sleep(RETRY_S)

    async def _store_and_say(self, client: aiomqtt.Client, batch: Sequence[Message]) -> bool:
        """Store a batch and say so; return False if the disk is full."""
        try:
            said = await self._on_thread(lambda: self._take(batch))
        except NoRoomError as error:
            if not self._full:
                log.error("archive_full", reason=str(error))
            self._full = True
            return False
        if self._full:
            log.info("archive_has_room_again")
        self._full = False
        await self._say(client, said)
        return True

    async def _on_thread(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

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
                credit_bytes=credit_bytes(self._queue.qsize() + len(client.messages)),
                spread_s=self._spread_s(),
                key=self._ingest.newest_key(probe),
                heads=ack.heads,
            )
            await client.publish(topics.ack(probe), sign_ack(message, self._ack_key), qos=1)
