"""The way between probe and server: the real uploader machine and ingest, and a link that comes
and goes.

Stands in for the agent's MQTT driver: one session at a time, over the first line that
reaches the server; what a dead line carries is lost both ways, and a session on it is
given up when its keepalive is missed. Times are seconds of the scenario.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from linewatch_agent.uplink.uplink import POKE_SPREAD_S, STEADY_S, backoff_ceiling_s
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import SayAck
from linewatch_core.sync.messages import Ack, Status, encode_status
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Held,
    Published,
    Reconnect,
    SaveAck,
    Send,
    Sent,
    Tick,
)
from linewatch_core.sync.uploader import Uploader
from linewatch_server.ingest import Message
from tests.lab.scenario import Event as ScenarioEvent
from tests.lab.scenario import Fault
from tests.sim.network import Network
from tests.sim.probe import Probe
from tests.sim.server import Server

BACKOFF_MAX_S = 300.0
KEEPALIVE_S = 90.0
"""A keepalive of 60 s, and half of it for the answer."""
SETUP_ROUND_TRIPS = 5
"""TCP, TLS, CONNECT, SUBSCRIBE and the birth."""
BATCH_S = 0.05
FRESH_S = 120.0
RESTORED_FROM_S = 3_600.0
"""How old the copy is that a server is restored from, where the scenario is that long."""
_Action: TypeAlias = Callable[[float], None]


@dataclass(slots=True)
class Restoration:
    """The server can be reached again since `at_s`; what the probe held then, and when it came.

    Attributes:
        through: the last record of each stream then.
        backlog: how many of them the server was not known to have.
        connected_s: when the next session began.
        summary_s, complete_s: when the first `ev` segment, and when all of them were stored.
    """

    at_s: float
    through: dict[Stream, int]
    backlog: int
    connected_s: float | None = None
    summary_s: float | None = None
    complete_s: float | None = None


@dataclass(slots=True)
class Uplink:
    """Drives both machines; `advance` lets time pass."""

    probe: Probe
    server: Server
    network: Network
    rng: random.Random
    origin_utc_ms: int
    events: Sequence[ScenarioEvent]
    changes_s: Sequence[float]
    machine: Uploader = field(init=False)
    line: str | None = None
    sends: int = 0
    restorations: list[Restoration] = field(default_factory=list)
    now_s: float = 0.0
    _queue: list[tuple[float, int, int, _Action]] = field(default_factory=list)
    _count: int = 0
    _conn: int = 0
    _session: int = 0
    _failures: int = 0
    _try: int = 0
    _free_s: float = 0.0
    _began_s: float = 0.0
    _acked: bool = False
    _dead_since_s: float | None = None
    _reachable: bool = True
    _inbox: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        for event in self.events:
            match event.what:
                case Fault.BROKER_WIPED:
                    self._push(event.begins_s, self._wipe)
                case Fault.SERVER_RESTORED:
                    saved_s = max(0.0, event.begins_s - RESTORED_FROM_S)
                    self._push(saved_s, lambda _: self.server.save())
                    self._push(event.begins_s, lambda _: self.server.restore())

    def power_on(self, now_s: float) -> None:
        """Begin with what the probe's store holds, and try soon."""
        self._do_due(now_s)
        self.machine = Uploader(epoch=self.probe.store.epoch)
        for stream, ack in self.probe.store.acks().items():
            self.machine.load_ack(stream, ack)
        for one in self.probe.store.held():
            self.held(one.stream, one.first, one.last)
        self._failures = 0
        self._try_at(now_s + self.rng.uniform(0, POKE_SPREAD_S))

    def power_off(self, now_s: float) -> None:
        """Let a session end in the middle of a word."""
        self.advance(now_s)
        self.line, self._dead_since_s = None, None
        self._session += 1
        self._try += 1
        self._tell(Disconnected(), now_s)

    def held(self, stream: Stream, first: int, last: int) -> None:
        """Tell the machine of records that were sealed."""
        self._tell(Held(stream, first, last), self.now_s)

    def poke(self, now_s: float) -> None:
        """A line that was dark answers: try soon."""
        if self.line is None:
            self._try_at(now_s + self.rng.uniform(0, POKE_SPREAD_S))

    def is_fresh(self, now_s: float) -> bool:
        """Return whether a session is young, or may begin at any moment: seconds count then."""
        if self.line is not None:
            return now_s - self._began_s < FRESH_S
        return any(state.reaches_server for state in self.network.at(now_s).values())

    def advance(self, until_s: float) -> None:
        """Let everything happen that is due by then."""
        self._do_due(until_s)
        wakeup = self.machine.wakeup_at()
        if wakeup is not None and wakeup <= until_s:
            self._tell(Tick(), until_s)
        self._watch(until_s)

    def _do_due(self, until_s: float) -> None:
        while self._queue and self._queue[0][0] <= until_s:
            at_s, _, _, action = heapq.heappop(self._queue)
            self.now_s = max(self.now_s, at_s)
            action(self.now_s)
        self.now_s = until_s

    def _watch(self, now_s: float) -> None:
        """Notice that the world is reachable again, or that the session's line is dead."""
        states = self.network.at(now_s)
        reachable = any(state.reaches_server for state in states.values())
        if reachable and not self._reachable:
            at_s = max(moment for moment in self.changes_s if moment <= now_s)
            unsealed = sum(self.probe.store.open_records().values())
            backlog = self.machine.backlog() + unsealed
            self.restorations.append(Restoration(at_s, self.probe.committed(), backlog))
        self._reachable = reachable
        if self.line is None or states[self.line].reaches_server:
            self._dead_since_s = None
        elif self._dead_since_s is None:
            self._dead_since_s = now_s
        elif now_s - self._dead_since_s >= KEEPALIVE_S:
            self._end(now_s)

    # --- the session --------------------------------------------------------

    def _attempt(self, now_s: float) -> None:
        states = self.network.at(now_s)
        self.line = next((name for name, one in states.items() if one.reaches_server), None)
        if self.line is None:
            self._failures += 1
            self._back_off(now_s)
            return
        self._session += 1
        self._began_s, self._acked, self._free_s = now_s, False, 0.0
        self._later(now_s + SETUP_ROUND_TRIPS * states[self.line].rtt_s, self._connected)

    def _connected(self, now_s: float) -> None:
        self._conn = self.probe.store.kept.next_conn()
        status = Status(
            state="online",
            conn=self._conn,
            epoch=self.probe.store.epoch,
            held=self.machine.held_bounds(),
            backlog=self.machine.backlog(),
        )
        self._post(topics.status(self.probe.id), encode_status(status), now_s)
        if self.restorations and self.restorations[-1].connected_s is None:
            self.restorations[-1].connected_s = now_s
        self._tell(Connected(self._conn), now_s)

    def _end(self, now_s: float) -> None:
        good = self._acked and now_s - self._began_s >= STEADY_S
        self._failures = 0 if good else self._failures + 1
        self.line, self._dead_since_s = None, None
        self._session += 1
        self._tell(Disconnected(), now_s)
        self._back_off(now_s)

    def _back_off(self, now_s: float) -> None:
        ceiling_s = backoff_ceiling_s(self._failures, max_s=BACKOFF_MAX_S)
        self._try_at(now_s + self.rng.uniform(0, ceiling_s))

    def _try_at(self, at_s: float) -> None:
        """Try then, and no more at any moment that was set before."""
        self._try += 1
        number = self._try
        self._push(at_s, lambda now_s: self._attempt(now_s) if number == self._try else None)

    def _tell(self, event: Event, now_s: float) -> None:
        for command in self.machine.handle(event, now_s):
            match command:
                case Send(stream, seq):
                    self._send(stream, seq, now_s)
                case SaveAck(stream, ack):
                    self.probe.store.save_ack(stream, ack, now_ms=self.probe.mono_ms(now_s))
                case Reconnect():
                    self._end(now_s)

    def _send(self, stream: Stream, seq: int, now_s: float) -> None:
        loaded = self.probe.store.load(stream, seq)
        if loaded is None:
            self._tell(Dropped(stream, seq, seq), now_s)
            return
        where, data = loaded
        self.sends += 1
        taken_s = self._post(topics.segments(self.probe.id, stream), data, now_s)
        published = Published(stream, where.first, where.last)
        self._later(taken_s + self._rtt_s(now_s) / 2, lambda at_s: self._tell(published, at_s))
        self._tell(Sent(stream, where.first, where.last, len(data)), now_s)

    # --- the link -----------------------------------------------------------

    def _rtt_s(self, now_s: float) -> float:
        return self.network.at(now_s)[self.line].rtt_s if self.line is not None else 0.0

    def _post(self, topic: str, payload: bytes, now_s: float) -> float:
        """Put a message on the link; return when it arrives."""
        assert self.line is not None
        state = self.network.at(now_s)[self.line]
        self._free_s = max(self._free_s, now_s) + len(payload) / state.bytes_per_s
        arrives_s = self._free_s + state.rtt_s / 2

        def arrive(at_s: float) -> None:
            self._inbox.append(Message(topic, payload, self.origin_utc_ms + int(at_s * 1000)))
            if len(self._inbox) == 1:
                self._push(at_s + BATCH_S, self._store)

        self._later(arrives_s, arrive)
        return arrives_s

    def _later(self, at_s: float, action: _Action) -> None:
        """Do it then, if the session still lives and its line then reaches the server."""
        session = self._session

        def do(now_s: float) -> None:
            line = self.line
            if session == self._session and line and self.network.at(now_s)[line].reaches_server:
                action(now_s)

        self._push(at_s, do)

    def _push(self, at_s: float, action: _Action) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at_s, 0, self._count, action))

    # --- the server ---------------------------------------------------------

    def _wipe(self, _: float) -> None:
        """Lose what the broker took and the server had not fetched."""
        self._inbox.clear()

    def _store(self, now_s: float) -> None:
        fetched_s = self.network.collects(now_s)
        if fetched_s > now_s:
            self._push(fetched_s, self._store)
            return
        messages, self._inbox = self._inbox, []
        said = self.server.take(messages, now_s)
        due_s = self.server.ingest.wakeup_at()
        if due_s is not None:
            self._push(max(due_s, now_s), lambda at_s: self._say(self.server.tick(at_s), at_s))
        self._note(messages, now_s)
        self._say(said, now_s)

    def _say(self, acks: list[SayAck], now_s: float) -> None:
        for said in acks:
            ack = Ack(
                probe=self.probe.id,
                epoch=said.epoch,
                conn=said.conn,
                birth=said.birth,
                streams=said.streams,
                server_ms=self.origin_utc_ms + int(now_s * 1000),
                server_error_ms=10,
            )
            self._later(now_s + self._rtt_s(now_s) / 2, partial(self._hear, ack))

    def _hear(self, ack: Ack, now_s: float) -> None:
        self._acked = True
        self._tell(AckReceived(ack), now_s)

    def _note(self, messages: list[Message], now_s: float) -> None:
        """Note what a restoration has brought by now."""
        if not self.restorations or self.restorations[-1].complete_s is not None:
            return
        last = self.restorations[-1]
        if last.summary_s is None and any(m.topic.endswith("/up/ev") for m in messages):
            last.summary_s = now_s
        epoch = self.probe.store.epoch
        if all(
            not through or self.server.covered(self.probe.id, epoch, stream).covers(1, through)
            for stream, through in last.through.items()
        ):
            last.complete_s = now_s
