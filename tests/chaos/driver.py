"""The driver of the uploader machine: as the real one (agent/uplink.py), without its tasks.

It connects, publishes what the machine orders, and hands it what comes back; and
checks the order of classes with its own count of turns.
"""

from collections import deque
from dataclasses import dataclass, field

from nacl.signing import VerifyKey

from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.old_stores import OldStores
from linewatch_agent.store.store import Store
from linewatch_core.records import Stream
from linewatch_core.sync import topics
from linewatch_core.sync.messages import Status, encode_status, open_ack
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
from linewatch_server.ingest import Message
from tests.chaos.broker import Broker, Puback
from tests.chaos.ledger import BrokenError
from tests.chaos.patches import Clock
from tests.chaos.server import ACK_KEY
from tests.support.segments import PROBE

OLD_STEPS = 8
"""Looks into a store that was set aside, at each step: its pages are few."""


@dataclass(slots=True)
class Driver:
    """The uplink of one run of the agent."""

    machine: Uploader
    store: Store
    keys: SigningKeys
    old: OldStores
    clock: Clock
    broker: Broker
    conn: int | None = None
    commands: deque[Command] = field(default_factory=deque)
    known_key: str | None = None
    told_key: str | None = None
    sends: int = 0
    out_of_turn: int = 0
    old_goes_first: bool = False
    live_from: int = 1

    def connect(self) -> None:
        """Subscribe, publish keys and birth, tell the machine; a full disk: not now."""
        try:
            conn = self.store.kept.next_conn()
        except StoreFullError:
            return
        self.commands.clear()
        self.conn, self.told_key = conn, None
        self._tell_keys()
        status = Status(
            state="online",
            conn=conn,
            epoch=self.store.epoch,
            held=self.machine.held_bounds(),
            backlog=self.machine.backlog(),
        )
        self._publish(topics.status(PROBE), encode_status(status), retain=True)
        self.sends = self.out_of_turn = 0
        self.live_from = (self.machine._streams[Stream.RAW].held.last() or 0) + 1
        self.old.begin()
        self.tell(Connected(conn))

    def disconnect(self) -> None:
        """Lose the connection."""
        if self.conn is not None:
            self.conn = None
            self.tell(Disconnected())
            self.commands.clear()

    def hear(self, conn: int, payload: bytes | Puback) -> None:
        """Take what the broker delivers on connection `conn`."""
        if isinstance(payload, Puback):
            if payload.conn == self.conn:
                self.tell(Published(*payload.key))
            return
        ack = open_ack(payload, VerifyKey(bytes(ACK_KEY.verify_key)))
        if ack.probe == PROBE and ack.conn == self.conn:
            self.known_key = ack.key
            if ack.birth and ack.epoch == self.machine.epoch:
                self.store.check_heads(ack.heads)
            self.old.acked(ack)
            self.tell(AckReceived(ack))

    def tell(self, event: Event) -> None:
        """Give the machine an event; its commands wait for `obey`."""
        commands = self.machine.handle(event, self.clock.mono_s())
        for command in commands:
            if isinstance(command, Send):
                self._check_turn(command)
        self.commands.extend(commands)

    def obey(self) -> None:
        """Do what the machine ordered, in order."""
        due = self.machine.wakeup_at()
        if due is not None and due <= self.clock.mono_s():
            self.tell(Tick())
        while self.commands and self.conn is not None:
            match self.commands.popleft():
                case Send(stream, seq):
                    self._send(stream, seq)
                case SaveAck(stream, ack):
                    self.store.save_ack(stream, ack, now_ms=self.clock.mono_ms())
                case Reconnect():
                    self.disconnect()
        for _ in range(OLD_STEPS):
            self._send_old()

    def _send_old(self) -> None:
        """Send what stores that were set aside hold, while nothing of the present one waits."""
        if self.conn is None or self.machine.backlog() or self.old.is_done():
            return
        if self.old.is_overdue(self.clock.mono_s()):
            self.disconnect()
            return
        segment = self.old.take(self.clock.mono_s())
        if segment is not None:
            self._tell_keys()
            self._publish(topics.segments(PROBE, segment.stream), segment.data)

    def _send(self, stream: Stream, seq: int) -> None:
        assert self.conn is not None
        try:
            loaded = self.store.load(stream, seq)
        except StoreFullError:
            self.disconnect()
            return
        if loaded is None:
            self.tell(Dropped(stream, seq, seq))
            return
        where, data = loaded
        self._count_turn()
        self._tell_keys()
        self.tell(Sent(stream, where.first, where.last, len(data)))
        self._publish(topics.segments(PROBE, stream), data)
        puback = Puback(self.conn, (stream, where.first, where.last))
        self.broker.acknowledge(puback, self.clock.now_s)

    def _check_turn(self, chosen: Send) -> None:
        """Check the order of classes: `ev`, `roll`, then old `raw` with one send in eight."""
        live = chosen.stream is Stream.RAW and chosen.seq >= self.live_from
        streams = self.machine._streams
        waiting = {stream: state.pending().count() for stream, state in streams.items()}
        if chosen.stream is Stream.ROLL and waiting[Stream.EV]:
            raise BrokenError("a roll-up is sent while an event waits")
        first = bool(waiting[Stream.EV] or waiting[Stream.ROLL])
        self.old_goes_first = chosen.stream is Stream.RAW and not live and first

    def _count_turn(self) -> None:
        self.sends += 1
        self.out_of_turn += self.old_goes_first
        if self.out_of_turn > 1 + self.sends // 8:
            raise BrokenError(f"{self.out_of_turn} of {self.sends} sends are old samples")

    def _tell_keys(self) -> None:
        newest = self.keys.current.id
        if self.told_key == newest:
            return
        for message in self.keys.messages_after(self.told_key or self.known_key):
            self._publish(topics.keys(PROBE), message)
        self.told_key = newest

    def _publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        arrival_ms = 1_790_000_000_000 + round(self.clock.now_s * 1000)
        self.broker.publish(Message(topic, payload, arrival_ms), self.clock.now_s, retain=retain)
