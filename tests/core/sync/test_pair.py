"""Both machines over a bad link, for many seeds: everything arrives, nothing is done too early.

Fault model: messages either way are lost, doubled and reordered (also across
a reconnection of the server's); connections break at any moment; the server
restarts between receiving and storing, and is restored to an older state; the
probe restarts and knows only what it had saved. A ledger beside the machines
counts what really is durable. One seed replays a run.
"""

import random
from dataclasses import dataclass, field
from typing import Literal

import pytest

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync import acks, ingestor, upload_talk
from linewatch_core.sync.ingestor import AckBook, Born, Durable, SayAck
from linewatch_core.sync.messages import Ack, Status, StreamAck
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Command,
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
)
from linewatch_core.sync.uploader import Uploader, UploadLimits

EPOCH = "00112233445566aa"
LIMITS = UploadLimits()
STEP_S = 0.5
QUIET_AFTER_S = 4_000.0
END_S = 12_000.0

Key = tuple[Stream, int, int]
Message = (
    tuple[Literal["segment"], Key]
    | tuple[Literal["puback"], tuple[int, Key]]
    | tuple[Literal["birth"], Status]
    | tuple[Literal["ack"], SayAck]
)


@dataclass(slots=True)
class Server:
    """A collector: its durable sets, and what it received and has not stored yet."""

    rng: random.Random
    durable: dict[Stream, SeqSet] = field(default_factory=lambda: {s: SeqSet() for s in Stream})
    stored: list[Key] = field(default_factory=list)
    backups: list[dict[Stream, SeqSet]] = field(default_factory=list)
    received: list[Key] = field(default_factory=list)
    retained: Status | None = None
    book: AckBook = field(default_factory=AckBook)

    def handle(self, event: ingestor.Event, now: float) -> list[SayAck]:
        """Give the book an event."""
        return self.book.handle(event, now)

    def store(self, now: float) -> list[SayAck]:
        """Commit what was received; only then may the book know."""
        said = []
        for key in self.received:
            stream, first, last = key
            if not self.durable[stream].covers(first, last):
                assert not self.durable[stream].overlaps(first, last)
                self.durable[stream].add(first, last)
                self.stored.append(key)
            said += self.handle(Durable(EPOCH, stream, first, last), now)
        self.received.clear()
        return said

    def restart(self, now: float) -> list[SayAck]:
        """Forget what was not stored; the broker hands over the retained birth."""
        self.received.clear()
        self.book = AckBook()
        return [] if self.retained is None else self.handle(Born(self.retained, self.durable), now)

    def restore(self, now: float) -> list[SayAck]:
        """Go back to a backup."""
        if self.backups:
            self.durable = {s: SeqSet(held) for s, held in self.rng.choice(self.backups).items()}
        return self.restart(now)


@dataclass(slots=True)
class World:
    """A probe, a server and the link between them."""

    seed: int
    rng: random.Random = field(init=False)
    server: Server = field(init=False)
    machine: Uploader = field(init=False)
    segments: dict[Stream, list[tuple[int, int]]] = field(
        default_factory=lambda: {s: [] for s in Stream}
    )
    sizes: dict[Key, int] = field(default_factory=dict)
    thinned: set[Key] = field(default_factory=set)
    saved: dict[Stream, StreamAck] = field(default_factory=dict)
    queue: list[tuple[float, int, Message]] = field(default_factory=list)
    in_mqtt: dict[Key, float] = field(default_factory=dict)
    unacked: dict[Key, float] = field(default_factory=dict)
    conn: int = 0
    up: bool = False
    now: float = 0.0
    sends: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.server = Server(self.rng)
        self.machine = Uploader(epoch=EPOCH)

    # --- the probe ---------------------------------------------------------

    def seal(self) -> None:
        """Seal a segment of some stream."""
        stream = self.rng.choice([Stream.RAW, Stream.RAW, Stream.ROLL, Stream.EV])
        known = self.segments[stream]
        first = known[-1][1] + 1 if known else 1
        last = first + self.rng.randrange(200)
        known.append((first, last))
        self.sizes[stream, first, last] = self.rng.choice([300, 1500, 1500, 60_000])
        self.tell(Held(stream, first, last))

    def thin(self) -> None:
        """Give up an unacknowledged raw segment, as a full store does."""
        known = self.segments[Stream.RAW]
        if known:
            first, last = self.rng.choice(known)
            self.thinned.add((Stream.RAW, first, last))
            self.tell(Dropped(Stream.RAW, first, last))

    def restart_probe(self) -> None:
        """Start the agent again on what it had saved."""
        self.disconnect()
        self.machine = Uploader(epoch=EPOCH)
        for stream, ack in self.saved.items():
            self.machine.load_ack(stream, ack)
        for stream, known in self.segments.items():
            for first, last in known:
                if (stream, first, last) not in self.thinned:
                    self.tell(Held(stream, first, last))

    def tell(self, event: Event) -> None:
        """Give the machine an event and do what it says."""
        for command in self.machine.handle(event, self.now):
            self.obey(command)

    def obey(self, command: Command) -> None:
        """Do one thing for the machine; the windows are checked by our own count."""
        match command:
            case SaveAck(stream, ack):
                if self.rng.random() < 0.9:
                    self.saved[stream] = ack
            case Reconnect():
                self.disconnect()
            case Send(stream, seq):
                assert self.up
                assert len(self.within_patience(self.in_mqtt)) < LIMITS.segments_in_flight
                assert sum(self.within_patience(self.in_mqtt)) < LIMITS.bytes_in_flight
                assert sum(self.within_patience(self.unacked)) < LIMITS.bytes_unacked
                self.send(stream, seq)

    def send(self, stream: Stream, seq: int) -> None:
        first, last = next(s for s in self.segments[stream] if s[0] <= seq <= s[1])
        key = (stream, first, last)
        assert key not in self.thinned
        self.sends += 1
        self.in_mqtt[key] = self.unacked[key] = self.now
        self.post(("segment", key))
        self.post(("puback", (self.conn, key)))
        self.tell(Sent(*key, self.sizes[key]))

    def within_patience(self, sent: dict[Key, float]) -> list[int]:
        """Return the sizes of what is on its way and not given up as lost."""
        oldest = self.now - LIMITS.ack_patience_s
        return [self.sizes[key] for key, sent_s in sent.items() if sent_s > oldest]

    def connect(self) -> None:
        self.conn += 1
        self.up = True
        status = Status(state="online", conn=self.conn, epoch=EPOCH)
        self.server.retained = status
        self.post(("birth", status))
        self.tell(Connected(self.conn))

    def disconnect(self) -> None:
        if self.up:
            self.up = False
            self.in_mqtt.clear()
            self.unacked.clear()
            self.tell(Disconnected())

    # --- the link ----------------------------------------------------------

    def post(self, message: Message) -> None:
        """Put a message on the link: lost, doubled, late, in any order, until it is quiet."""
        bad = self.now < QUIET_AFTER_S
        copies = self.rng.choices([0, 1, 2], [15, 75, 10])[0] if bad else 1
        for _ in range(copies):
            late = self.rng.expovariate(0.5) if bad else 0.3
            self.queue.append((self.now + late, self.rng.randrange(2**32), message))

    def deliver(self, message: Message) -> None:
        match message:
            case ("segment", key):
                self.server.received.append(key)
            case ("birth", status):
                self.say(self.server.handle(Born(status, self.server.durable), self.now))
            case ("puback", (conn, key)):
                if self.up and conn == self.conn:
                    self.in_mqtt.pop(key, None)
                    self.tell(Published(*key))
            case ("ack", said):
                self.take(said)

    def say(self, acks: list[SayAck]) -> None:
        for said in acks:
            self.post(("ack", said))

    def take(self, said: SayAck) -> None:
        if not self.up:
            return
        ack = Ack(
            probe="a" * 16,
            epoch=said.epoch,
            conn=said.conn,
            birth=said.birth,
            streams=said.streams,
            server_ms=0,
            server_error_ms=0,
        )
        if said.conn == self.conn:
            if said.birth:
                self.in_mqtt.clear()
                self.unacked.clear()
            for key in list(self.unacked):
                part = said.streams.get(key[0])
                if part is not None and acks.acked_set(part).covers(key[1], key[2]):
                    self.unacked.pop(key)
                    self.in_mqtt.pop(key, None)
        self.tell(AckReceived(ack))

    # --- time --------------------------------------------------------------

    def step(self) -> None:
        """Let half a second pass."""
        self.now += STEP_S
        due = sorted((m for m in self.queue if m[0] <= self.now), key=lambda m: m[:2])
        self.queue = [m for m in self.queue if m[0] > self.now]
        for _, _, message in due:
            self.deliver(message)
        if self.rng.random() < 0.7:
            self.say(self.server.store(self.now))
        self.say(self.server.handle(ingestor.Tick(), self.now))
        wakeup = self.machine.wakeup_at()
        if wakeup is not None and wakeup <= self.now:
            self.tell(upload_talk.Tick())
        if not self.up and self.rng.random() < 0.1:
            self.connect()

    def misfortune(self) -> None:
        """Do something bad, or go on measuring."""
        chance = self.rng.random()
        if chance < 0.02:
            self.disconnect()
        elif chance < 0.024:
            self.say(self.server.restart(self.now))
        elif chance < 0.027:
            self.say(self.server.restore(self.now))
        elif chance < 0.030:
            self.restart_probe()
        elif chance < 0.033:
            self.thin()
        elif chance < 0.04:
            self.server.backups.append({s: SeqSet(held) for s, held in self.server.durable.items()})
        elif chance < 0.10:
            self.seal()

    def lost(self) -> list[Key]:
        """Return the segments that the probe still has and the server does not."""
        return [
            (stream, first, last)
            for stream, known in self.segments.items()
            for first, last in known
            if (stream, first, last) not in self.thinned
            and not self.server.durable[stream].covers(first, last)
        ]


@pytest.mark.parametrize("seed", range(12))
def test_everything_arrives_once_over_a_bad_link(seed: int) -> None:
    """After any history, once the link is quiet, all that is held is durable, each record once."""
    world = World(seed)
    while world.now < END_S and (world.now < QUIET_AFTER_S or world.lost()):
        world.step()
        if world.now < QUIET_AFTER_S:
            world.misfortune()
    assert world.sends > 200
    assert world.lost() == []
    for stream, known in world.segments.items():
        ours = SeqSet(known)
        assert not world.server.durable[stream].difference(ours)
    for _ in range(1400):
        world.step()
    assert world.machine.backlog() == 0
    assert world.lost() == []


@pytest.mark.parametrize("seed", range(12, 18))
def test_nothing_is_done_before_it_is_durable(seed: int) -> None:
    """Without restores, whatever the machine takes off its list is in durable storage."""
    world = World(seed)
    while world.now < QUIET_AFTER_S:
        world.step()
        if world.rng.random() < 0.05:
            world.seal()
        if world.rng.random() < 0.01:
            world.disconnect()
        if world.rng.random() < 0.002:
            world.say(world.server.restart(world.now))
        for stream, state in world.machine._streams.items():
            early = state.acked.difference(world.server.durable[stream])
            assert not early, f"seed {seed} at {world.now} s: {stream} {early} is not stored"
    assert world.sends > 100


def test_without_faults_nothing_is_sent_twice() -> None:
    """On a good link each segment goes out once."""
    world = World(99)
    world.now = QUIET_AFTER_S
    world.connect()
    for _ in range(300):
        if world.rng.random() < 0.2:
            world.seal()
        world.step()
    for _ in range(300):
        world.step()
    assert world.lost() == []
    assert world.sends == len(world.sizes) == len(world.server.stored)
