"""The driver of the uploader machine: one MQTT session at a time, over one line.

It does what the machine says and tells it what happened; it decides only
which way to try next and how long to wait. A new client object for every
connection, since a reused one sends again what it had queued.
Source: docs/wire-format.md, "Sync".
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiomqtt
import structlog
from nacl.signing import VerifyKey

from linewatch_agent.mqtt_client import (
    BUDGET_S,
    Endpoint,
    LineClient,
    MakeSocket,
    connect_problem,
)
from linewatch_core.errors import LinewatchError, first_error
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.messages import Ack, Status, StreamAck, encode_status, open_ack
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Published,
    Reconnect,
    SaveAck,
    Send,
    Sent,
    Tick,
)
from linewatch_core.sync.uploader import Uploader

log = structlog.get_logger()

BACKOFF_BASE_S = 2.0
BACKOFF_MAX_S = 300.0
STEADY_S = 60.0
"""A session counts as good, and the backoff starts anew, after this long and one ack."""
POKE_SPREAD_S = 5.0
"""When a dark line answers again, the next try comes within this: every probe sees it at once."""
PUBLISH_BUDGET_S = 30.0
FAREWELL_S = 2.0
PACKET_BYTES = 120
"""What MQTT, TLS, TCP and IP add to a message, each way, its acknowledgement included."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a broker: an endpoint, over one line (None: the machine's own routing)."""

    endpoint: Endpoint
    line: str | None
    make_socket: MakeSocket


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

    async def save_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Remember an ack durably."""

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Take the time that the first ack of a connection carries."""

    def traffic(self, line: str | None, *, bytes_out: int, bytes_in: int) -> None:
        """Count bytes of the uplink."""


@dataclass(slots=True)
class UplinkState:
    """How the uplink stands, for `status`."""

    connected: bool = False
    endpoint: str | None = None
    line: str | None = None
    since_s: float | None = None
    last_ack_s: float | None = None
    problem: str | None = None
    attempts: int = 0


class _SessionOver(Exception):
    """This session can't begin, or the machine gave it up; the text says why."""


def backoff_ceiling_s(failures: int, *, max_s: float) -> float:
    """Return the most that is waited after so many rounds of failures in a row."""
    return min(max_s, BACKOFF_BASE_S * 2.0 ** min(failures, 16))


def _end_if_cancelled() -> None:
    """Raise CancelledError if the running task was cancelled.

    Our cancellation is passed to the session's task; one that is just failing ends
    with its own error instead, and we would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Uplink:
    """Keeps one session with the server as long as there is a way to it."""

    def __init__(
        self,
        *,
        probe: ProbeId,
        machine: Uploader,
        backend: Backend,
        ack_key: VerifyKey,
        tls: Callable[[], ssl.SSLContext],
        now_s: Callable[[], float],
        presence: bool = True,
        keepalive_s: int = 60,
        backoff_max_s: float = BACKOFF_MAX_S,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._probe = probe
        self._machine = machine
        self._backend = backend
        self._ack_key = ack_key
        self._tls = tls
        self._now_s = now_s
        self._presence = presence
        self._keepalive_s = keepalive_s
        self._backoff_max_s = backoff_max_s
        self._budget_s = budget_s
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._poked = asyncio.Event()
        self._woken = asyncio.Event()
        self._acked = asyncio.Event()
        self._worked: tuple[Endpoint, str | None] | None = None
        self._known_key: str | None = None
        self._told_key: str | None = None
        self._client: LineClient | None = None
        self._conn = 0
        self._stopped = False
        self._failing: dict[str | None, str | None] = {}
        self._birth_s: float | None = None
        self.state = UplinkState()

    def feed(self, event: Event) -> None:
        """Tell the machine of something; its commands run in the session, if there is one."""
        for command in self._machine.handle(event, self._now_s()):
            self._commands.put_nowait(command)
        self._woken.set()

    def poke(self) -> None:
        """A line that was dark answers: try soon."""
        self._poked.set()

    async def run(self) -> None:
        """Try one way after the other, for ever."""
        failures = 0
        while True:
            good = False
            self._poked.clear()
            for way in self._ordered(self._backend.ways()):
                good = await self._attempt(way)
                if good:
                    break
            failures = 0 if good else failures + 1
            await self._pause(failures)

    async def drain(self, patience_s: float) -> None:
        """Wait until the server has everything, but no longer than `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                while self._machine.backlog():
                    self._acked.clear()
                    await self._acked.wait()
        except TimeoutError:
            log.info("uplink_ends_with_backlog", records=self._machine.backlog())

    async def farewell(self) -> None:
        """Say `stopped` on the present connection, if there is one; it is the last word."""
        if self._client is None:
            return
        try:
            if self._presence:
                status = self._backend.status(self._conn, state="stopped")
                async with asyncio.timeout(FAREWELL_S):
                    await self._client.publish(
                        topics.status(self._probe), encode_status(status), qos=1, retain=True
                    )
            self._stopped = True
        except (TimeoutError, aiomqtt.MqttError):
            log.info("uplink_farewell_not_delivered")

    def _ordered(self, ways: Sequence[Way]) -> list[Way]:
        """Return the ways with the one that worked last first."""
        return sorted(ways, key=lambda way: (way.endpoint, way.line) != self._worked)

    async def _pause(self, failures: int) -> None:
        """Wait with full jitter; a poke shortens the wait, also one that came while we tried."""
        wait_s = random.uniform(0, backoff_ceiling_s(failures, max_s=self._backoff_max_s))
        try:
            async with asyncio.timeout(wait_s):
                await self._poked.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(wait_s, random.uniform(0, POKE_SPREAD_S)))

    async def _attempt(self, way: Way) -> bool:
        """Run one session over `way` until it ends; return whether it was a good one."""
        self.state.attempts += 1
        began_s = self._now_s()
        self.state.last_ack_s = None
        try:
            # In a task of its own: a TaskGroup that fails leaves its task marked as being
            # cancelled before Python 3.11.4, and asyncio.timeout then cancels for good.
            await asyncio.create_task(self._session(way), name="uplink-session")
        except* (_SessionOver, NotNowError) as group:
            self.state.problem = str(first_error(group))
        except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
            self.state.problem = connect_problem(first_error(group))
        finally:
            self._client = None
            self._birth_s = None
            self.state.connected = False
            self.feed(Disconnected())
        _end_if_cancelled()
        self._log_end(way.line)
        return self.state.last_ack_s is not None and self._now_s() - began_s >= STEADY_S

    def _log_end(self, line: str | None) -> None:
        """Log that a session ended; a way that goes on failing the same way is no news."""
        if self._failing.get(line) != self.state.problem:
            log.info("uplink_ended", problem=self.state.problem, line=line)
        self._failing[line] = self.state.problem

    async def _session(self, way: Way) -> None:
        conn = await self._backend.next_conn()
        while not self._commands.empty():
            self._commands.get_nowait()
        client = LineClient(
            way.endpoint,
            tls=self._tls_context(),
            identifier=self._probe,
            make_socket=way.make_socket,
            budget_s=self._budget_s,
            keepalive_s=self._keepalive_s,
            will=self._will(conn),
        )
        async with client:
            try:
                await self._converse(client, way, conn)
            except BaseException:
                if not self._stopped:
                    # A polite end would take the will back, and `online` would stay for ever.
                    client.hang_up()
                raise

    async def _converse(self, client: LineClient, way: Way, conn: int) -> None:
        """Say who is there, then feed the machine, until the connection ends by an exception."""
        await client.subscribe(topics.ack(self._probe), qos=1)
        self._told_key = None
        await self._tell_keys(client)
        self._client, self._conn = client, conn
        birth = encode_status(self._backend.status(conn, state="online"))
        self._birth_s = self._now_s()
        await client.publish(topics.status(self._probe), birth, qos=1, retain=self._presence)
        self._poked.clear()
        self._failing.clear()
        self.state.connected = True
        self.state.problem = None
        self.state.endpoint, self.state.line = str(way.endpoint), way.line
        self.state.since_s = self._now_s()
        log.info("uplink_connected", line=way.line, conn=conn)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(client, way), name="uplink-receive")
            tasks.create_task(self._tick(), name="uplink-tick")
            tasks.create_task(self._obey(client, way, tasks), name="uplink-obey")
            self.feed(Connected(conn))

    def _tls_context(self) -> ssl.SSLContext:
        try:
            return self._tls()
        except LinewatchError as error:
            raise _SessionOver(str(error)) from error
        except OSError as error:
            reason = f"cannot read this probe's certificate or its key: {error.strerror}"
            raise _SessionOver(reason) from error

    async def _tell_keys(self, client: LineClient) -> None:
        """Say which key signs now, if that is news: a segment of an unknown one is refused."""
        newest = self._backend.newest_key()
        if newest == self._told_key:
            return
        for message in self._backend.key_messages(self._told_key or self._known_key):
            await client.publish(topics.keys(self._probe), message, qos=1)
        self._told_key = newest

    def _will(self, conn: int) -> aiomqtt.Will | None:
        if not self._presence:
            return None
        lost = encode_status(self._backend.status(conn, state="lost"))
        return aiomqtt.Will(topics.status(self._probe), lost, qos=1, retain=True)

    async def _receive(self, client: LineClient, way: Way) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self._backend.traffic(way.line, bytes_out=0, bytes_in=len(payload) + PACKET_BYTES)
            try:
                ack = open_ack(payload, self._ack_key)
            except LinewatchError as error:
                log.warning("ack_refused", reason=str(error))
                continue
            if ack.probe == self._probe and ack.conn == self._conn:
                self._take_ack(ack, way)
        raise aiomqtt.MqttError("the broker closed the connection")

    def _take_ack(self, ack: Ack, way: Way) -> None:
        self.state.last_ack_s = self._now_s()
        self._worked = (way.endpoint, way.line)
        self._known_key = ack.key
        if ack.birth and self._birth_s is not None:
            self._backend.server_time(ack, birth_sent_s=self._birth_s)
            self._birth_s = None
        self.feed(AckReceived(ack))
        self._acked.set()

    async def _tick(self) -> None:
        while True:
            self._woken.clear()
            due = self._machine.wakeup_at()
            wait_s = None if due is None else max(0.0, due - self._now_s())
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                self.feed(Tick())

    async def _obey(self, client: LineClient, way: Way, tasks: asyncio.TaskGroup) -> None:
        while True:
            match await self._commands.get():
                case Send(stream, seq):
                    segment = await self._backend.load(stream, seq)
                    if segment is None:
                        self.feed(Dropped(stream, seq, seq))
                        continue
                    await self._tell_keys(client)
                    self.feed(Sent(stream, segment.first, segment.last, len(segment.data)))
                    tasks.create_task(self._publish(client, way, stream, segment))
                case SaveAck(stream, ack):
                    await self._backend.save_ack(stream, ack)
                case Reconnect(reason):
                    raise _SessionOver(reason)

    async def _publish(
        self, client: LineClient, way: Way, stream: Stream, segment: LoadedSegment
    ) -> None:
        self._backend.traffic(way.line, bytes_out=len(segment.data) + PACKET_BYTES, bytes_in=40)
        await client.publish(
            topics.segments(self._probe, stream), segment.data, qos=1, timeout=PUBLISH_BUDGET_S
        )
        self.feed(Published(stream, segment.first, segment.last))
