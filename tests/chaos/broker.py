"""The network and a broker between probe and server: everything that they may do wrong.

Messages are held until they are due. A broker may lose, double, delay and
reorder them, swallow them after a PUBACK, refuse them, forget all it knew,
and keep only so many for a server that is away. It never makes one up: acks
are signed, segments too (tests/core has the forgeries).
"""

import random
from dataclasses import dataclass, field

from linewatch_core.records import Stream
from linewatch_server.ingest import Message

QUEUE_MAX = 12
"""Messages that wait for a server that is away; what comes beyond is lost without a word."""

Key = tuple[Stream, int, int]


@dataclass(frozen=True, slots=True)
class Puback:
    """The broker has taken a segment of connection `conn`."""

    conn: int
    key: Key


@dataclass(slots=True)
class Weather:
    """What is wrong with the way at present.

    Attributes:
        loss, double: chances a message.
        delay_s: mean delay; different delays reorder.
        partition: nothing gets through, and no connection.
        tarpit: connections stand, nothing is answered.
        swallow: the broker says PUBACK and drops the message.
        refuse: the broker refuses each publish, and says PUBACK as MQTT 3.1.1 must.
    """

    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.3
    partition: bool = False
    tarpit: bool = False
    swallow: bool = False
    refuse: bool = False


@dataclass(slots=True)
class Broker:
    """A broker with its links on both sides."""

    rng: random.Random
    weather: Weather = field(default_factory=Weather)
    retained: Message | None = None
    server_is_there: bool = True
    to_server: list[tuple[float, int, Message]] = field(default_factory=list)
    to_probe: list[tuple[float, int, int, bytes | Puback]] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list)
    _count: int = 0

    def publish(self, message: Message, now_s: float, *, retain: bool = False) -> None:
        """Take a message of the probe."""
        weather = self.weather
        if weather.partition or weather.tarpit or weather.swallow or weather.refuse:
            return
        if retain:
            self.retained = message
        for _ in range(self._copies()):
            self.to_server.append((self._due(now_s), self._next(), message))

    def acknowledge(self, puback: Puback, now_s: float) -> None:
        """Say PUBACK, if the probe can hear it."""
        if not (self.weather.partition or self.weather.tarpit):
            self.to_probe.append((self._due(now_s), self._next(), puback.conn, puback))

    def answer(self, conn: int, payload: bytes, now_s: float) -> None:
        """Take an ack of the server for connection `conn`."""
        if self.weather.partition or self.weather.tarpit:
            return
        for _ in range(self._copies()):
            self.to_probe.append((self._due(now_s), self._next(), conn, payload))

    def for_server(self, now_s: float) -> list[Message]:
        """Return what reaches the server by now; while it is away the queue has its limit."""
        due = sorted((one for one in self.to_server if one[0] <= now_s), key=lambda one: one[:2])
        self.to_server = [one for one in self.to_server if one[0] > now_s]
        self.waiting += [message for _, _, message in due]
        if not self.server_is_there:
            del self.waiting[QUEUE_MAX:]
            return []
        arrived, self.waiting = self.waiting, []
        return arrived

    def for_probe(self, now_s: float) -> list[tuple[int, bytes | Puback]]:
        """Return what reaches the probe by now, with the connection that it was meant for."""
        due = sorted((one for one in self.to_probe if one[0] <= now_s), key=lambda one: one[:2])
        self.to_probe = [one for one in self.to_probe if one[0] > now_s]
        return [(conn, payload) for _, _, conn, payload in due]

    def forget(self) -> None:
        """Lose everything: queues, retained messages."""
        self.to_server.clear()
        self.to_probe.clear()
        self.waiting.clear()
        self.retained = None

    def _copies(self) -> int:
        if self.rng.random() < self.weather.loss:
            return 0
        return 2 if self.rng.random() < self.weather.double else 1

    def _due(self, now_s: float) -> float:
        return now_s + self.rng.expovariate(1 / self.weather.delay_s)

    def _next(self) -> int:
        self._count += 1
        return self._count
