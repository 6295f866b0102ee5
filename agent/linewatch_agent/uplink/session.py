"""One session of the uplink: says who is there, then does what the machine says.

It ends by an exception only: the connection broke, the machine gave it up, or it is
cancelled. What outlives it is in `Link`. Source: docs/wire-format.md, "Sync".
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import aiomqtt
import structlog
from nacl.signing import VerifyKey

from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.connect_problem import Problem, ProblemKind
from linewatch_agent.uplink.backend import Backend, LoadedSegment, NotNowError
from linewatch_agent.uplink.memory import UplinkMemory
from linewatch_agent.uplink.way_order import Way, WayOrder
from linewatch_core.errors import LinewatchError
from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.messages import Ack, encode_status, open_ack
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Command,
    Connected,
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

PUBLISH_BUDGET_S = 120.0
"""For a PUBACK; 64 KiB take a minute on a line that is throttled to 8 kbit/s."""
FAREWELL_S = 2.0
OLD_WAIT_S = 5.0
"""How often to look whether there is nothing else to send."""
OLD_STEP_S = 0.2
"""Between two looks into a store that was set aside: it is read in a twentieth of the time."""


@dataclass(slots=True)
class UplinkState:
    """How the uplink stands, for `status`; `reached_s`: the last ack of any connection."""

    connected: bool = False
    endpoint: str | None = None
    line: str | None = None
    since_s: float | None = None
    last_ack_s: float | None = None
    reached_s: float | None = None
    problem: str | None = None
    attempts: int = 0


class SessionOverError(Exception):
    """This session can't begin, or the machine gave it up; says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


@dataclass(slots=True)
class Link:
    """What the sessions of one uplink share, one after the other."""

    probe: ProbeId
    machine: Uploader
    backend: Backend
    ack_key: VerifyKey
    now_s: Callable[[], float]
    presence: bool
    memory: UplinkMemory
    state: UplinkState = field(default_factory=UplinkState)
    order: WayOrder = field(default_factory=WayOrder)
    known_key: str | None = None
    commands: asyncio.Queue[Command] = field(default_factory=asyncio.Queue)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    acked: asyncio.Event = field(default_factory=asyncio.Event)

    def feed(self, event: Event) -> None:
        """Tell the machine of something; its commands run in the session, if there is one."""
        for command in self.machine.handle(event, self.now_s()):
            self.commands.put_nowait(command)
        self.woken.set()


class Session:
    """One connection that stands.

    Attributes:
        reached: whether the broker has taken subscription and birth.
        stopped: whether the farewell was said: the will is to be taken back.
    """

    def __init__(self, link: Link, client: LineClient, way: Way, conn: int) -> None:
        self._link = link
        self.client = client
        self._way = way
        self._conn = conn
        self._told_key: str | None = None
        self._birth_s: float | None = None
        self.reached = False
        self.stopped = False

    async def run(self, on_reached: Callable[[], None]) -> None:
        """Say who is there, then feed the machine, until the connection ends by an exception."""
        await self.client.subscribe(topics.ack(self._link.probe), qos=1)
        await self._tell_keys()
        birth = encode_status(self._link.backend.status(self._conn, state="online"))
        self._birth_s = self._link.now_s()
        await self.client.publish(
            topics.status(self._link.probe), birth, qos=1, retain=self._link.presence
        )
        self.reached = True
        on_reached()
        self._link.state.connected = True
        self._link.state.problem = None
        self._link.state.endpoint, self._link.state.line = str(self._way.endpoint), self._way.line
        self._link.state.since_s = self._link.now_s()
        log.info(
            "uplink_connected", line=self._way.line, conn=self._conn, mqtt=self.client.version.name
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(), name="uplink-receive")
            tasks.create_task(self._tick(), name="uplink-tick")
            tasks.create_task(self._obey(tasks), name="uplink-obey")
            tasks.create_task(self._send_old(), name="uplink-old")
            self._link.feed(Connected(self._conn))

    async def farewell(self) -> None:
        """Say `stopped`; it is the last word."""
        try:
            if self._link.presence:
                status = self._link.backend.status(self._conn, state="stopped")
                async with asyncio.timeout(FAREWELL_S):
                    await self.client.publish(
                        topics.status(self._link.probe), encode_status(status), qos=1, retain=True
                    )
            self.stopped = True
        except (TimeoutError, aiomqtt.MqttError):
            log.info("uplink_farewell_not_delivered")

    async def _tell_keys(self) -> None:
        """Say which key signs now, if that is news: a segment of an unknown one is refused."""
        newest = self._link.backend.newest_key()
        if newest == self._told_key:
            return
        for message in self._link.backend.key_messages(self._told_key or self._link.known_key):
            await self.client.publish(topics.keys(self._link.probe), message, qos=1)
        self._told_key = newest

    async def _receive(self) -> None:
        async for message in self.client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self.client.count()
            try:
                ack = open_ack(payload, self._link.ack_key)
            except LinewatchError as error:
                log.warning("ack_refused", reason=str(error))
                continue
            if ack.probe == self._link.probe and ack.conn == self._conn:
                if ack.birth and ack.epoch == self._link.machine.epoch:
                    await self._link.backend.check_heads(ack.heads)
                self._take_ack(ack)
                await self._keep_memory()
        raise aiomqtt.MqttError("the broker closed the connection")

    async def _keep_memory(self) -> None:
        memory = self._link.memory.to_keep(self._link.now_s())
        if memory is None:
            return
        # On a full disk it is not worth a session, whose acks may make room.
        with contextlib.suppress(NotNowError):
            await self._link.backend.remember(memory)
            self._link.memory.was_kept(memory)

    def _take_ack(self, ack: Ack) -> None:
        self._link.state.last_ack_s = self._link.state.reached_s = self._link.now_s()
        self._link.order.acked(self._way)
        learnt = self.client.peer if self._way.endpoint.needs_dns else None
        self._link.memory.acked(
            ack, self._link.now_s(), host=self._way.endpoint.host, address=learnt
        )
        self._link.known_key = ack.key
        # What was told while the server was away is not known there: before the next segment
        # it is told again, or that would be refused.
        self._told_key = ack.key
        if ack.birth and self._birth_s is not None:
            self._link.backend.server_time(ack, birth_sent_s=self._birth_s)
            self._birth_s = None
        if (old := self._link.backend.old_stores()) is not None:
            old.acked(ack)
        self._link.feed(AckReceived(ack))
        self._link.acked.set()

    async def _tick(self) -> None:
        while True:
            self._link.woken.clear()
            due = self._link.machine.wakeup_at()
            wait_s = None if due is None else max(0.0, due - self._link.now_s())
            try:
                async with asyncio.timeout(wait_s):
                    await self._link.woken.wait()
            except TimeoutError:
                self._link.feed(Tick())

    async def _obey(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            match await self._link.commands.get():
                case Send(stream, seq):
                    segment = await self._link.backend.load(stream, seq)
                    if segment is None:
                        self._link.feed(Dropped(stream, seq, seq))
                        continue
                    await self._tell_keys()
                    self._link.feed(Sent(stream, segment.first, segment.last, len(segment.data)))
                    tasks.create_task(self._publish(stream, segment))
                case SaveAck(stream, ack):
                    await self._link.backend.save_ack(stream, ack)
                case Reconnect(reason):
                    self._link.order.mute(self._way)
                    raise SessionOverError(Problem(ProblemKind.UNREACHED, reason))

    async def _send_old(self) -> None:
        """Send what stores that were set aside hold, while nothing of the present one waits."""
        old = self._link.backend.old_stores()
        if old is None:
            return
        old.begin()
        while not old.is_done():
            if old.is_overdue(self._link.now_s()):
                reason = "the server acknowledged nothing of an older store"
                raise SessionOverError(Problem(ProblemKind.UNREACHED, reason))
            if self._link.machine.backlog():
                await asyncio.sleep(OLD_WAIT_S)
                continue
            segment = await self._link.backend.next_old()
            if segment is None:
                # Either the file is read on, at no haste, or the server has the word.
                await asyncio.sleep(OLD_STEP_S)
                continue
            await self._tell_keys()
            await self._hand_over(segment.stream, segment.data)

    async def _publish(self, stream: Stream, segment: LoadedSegment) -> None:
        await self._hand_over(stream, segment.data)
        self._link.feed(Published(stream, segment.first, segment.last))

    async def _hand_over(self, stream: Stream, data: bytes) -> None:
        """Publish a segment; return when the broker has it."""
        topic = topics.segments(self._link.probe, stream)
        await self.client.publish(topic, data, qos=1, timeout=PUBLISH_BUDGET_S)
        self.client.count()
