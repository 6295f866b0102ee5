"""The machine on a model of a slow line: what comes when, and how much of the line it takes.

The line sends one segment after the other at its rate and answers a round trip later; the
server acknowledges a second after that. No other program, no other cost: the bench
tests/bench/backfill.py shows the same with real parts.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.sync.acks import stream_ack
from linewatch_core.sync.messages import Ack
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Connected,
    Event,
    Held,
    Published,
    Send,
    Sent,
    Tick,
)
from linewatch_core.sync.uploader import Uploader

EPOCH = "00112233445566aa"
EV, ROLL, RAW = Stream.EV, Stream.ROLL, Stream.RAW
SIZES = {EV: 2_000, ROLL: 1_400, RAW: 1_250}
"""Bytes on the line of a segment of 200 records, with what carries it."""
RTT_S = 0.3
LIVE_EVERY_S = 60.0


@dataclass
class SlowLine:
    """One probe on one line; `days` of backlog, and a live segment a minute."""

    kbit: float
    days: int
    now: float = 0.0
    machine: Uploader = field(default_factory=lambda: Uploader(epoch=EPOCH))
    arrived: dict[Stream, SeqSet] = field(default_factory=lambda: {s: SeqSet() for s in Stream})
    sealed: dict[int, float] = field(default_factory=dict)
    live_waits: list[float] = field(default_factory=list)
    first_s: dict[Stream, float] = field(default_factory=dict)
    full_s: dict[Stream, float] = field(default_factory=dict)
    old_raw_s: list[tuple[float, float]] = field(default_factory=list)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _free_s: float = 0.0
    _ack_due: bool = False

    def __post_init__(self) -> None:
        self.backlog = {EV: 200, ROLL: 5_200 * self.days, RAW: 26_000 * self.days}
        for stream, count in self.backlog.items():
            self.tell(Held(stream, 1, count))
        self.at(LIVE_EVERY_S, self.seal)

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._events, (when_s, self._count, action))

    def seal(self) -> None:
        """A live block is closed."""
        first = (self.machine.held_bounds()[RAW][1]) + 1
        self.sealed[first] = self.now
        self.tell(Held(RAW, first, first + 199))
        self.at(self.now + LIVE_EVERY_S, self.seal)

    def tell(self, event: Event) -> None:
        """Tell the machine, and put on the line what it sends."""
        for command in self.machine.handle(event, self.now):
            if isinstance(command, Send):
                first = (command.seq - 1) // 200 * 200 + 1
                self.send(command.stream, first)

    def send(self, stream: Stream, first: int) -> None:
        """Let a segment go through the line, after those before it."""
        begins = max(self.now, self._free_s)
        self._free_s = begins + SIZES[stream] * 8 / (self.kbit * 1000)
        if stream is RAW and first <= self.backlog[RAW]:
            self.old_raw_s.append((begins, self._free_s))
        key = (stream, first, first + 199)
        self.at(self._free_s + RTT_S / 2, lambda: self.arrive(stream, first))
        self.at(self._free_s + RTT_S, lambda: self.tell(Published(*key)))
        self.tell(Sent(*key, SIZES[stream]))

    def arrive(self, stream: Stream, first: int) -> None:
        """The server stores a segment, and acknowledges all in a second."""
        self.first_s.setdefault(stream, self.now)
        self.arrived[stream].add(first, first + 199)
        if first in self.sealed and stream is RAW:
            self.live_waits.append(self.now - self.sealed.pop(first))
        if self.arrived[stream].covers(1, self.backlog[stream]):
            self.full_s.setdefault(stream, self.now)
        if not self._ack_due:
            self._ack_due = True
            self.at(self.now + 1.0 + RTT_S / 2, self.ack)

    def ack(self, *, birth: bool = False) -> None:
        """The server says what it has."""
        self._ack_due = False
        streams = {stream: stream_ack(held) for stream, held in self.arrived.items()}
        message = Ack(
            probe="a" * 16,
            epoch=EPOCH,
            conn=1,
            birth=birth,
            streams=streams,
            server_ms=0,
            server_error_ms=0,
        )
        self.tell(AckReceived(message))

    def run(self, until_s: float) -> None:
        """Connect, and let time pass."""
        self.tell(Connected(1))
        self.at(RTT_S, lambda: self.ack(birth=True))
        while True:
            wakeup = self.machine.wakeup_at()
            due = self._events[0][0]
            if wakeup is not None and wakeup <= due:
                self.now = max(self.now, wakeup)
                self.tell(Tick())
            else:
                self.now, _, action = heapq.heappop(self._events)
                action()
            if self.now >= until_s:
                return


def test_three_days_over_64_kbit() -> None:
    """First facts in seconds, the shape in half a minute, everything in two, live all the while."""
    line = SlowLine(kbit=64, days=3)
    line.run(240)
    assert line.first_s[EV] <= 10
    assert line.full_s[ROLL] <= 40
    assert max(line.full_s.values()) <= 120
    assert max(line.live_waits) <= 60


def test_a_restoration_of_four_minutes_after_five_days() -> None:
    """All that happened and the whole shape of it are over before the line goes again."""
    line = SlowLine(kbit=64, days=5)
    line.run(240)
    assert line.full_s[EV] <= 240
    assert line.full_s[ROLL] <= 240


@pytest.mark.parametrize("kbit", [8, 16, 64, 512])
def test_what_is_live_is_never_starved(kbit: float) -> None:
    """On a line throttled to 8 kbit/s, too, which the backlog keeps busy for half an hour."""
    line = SlowLine(kbit=kbit, days=3)
    line.run(1200)
    assert len(line.live_waits) >= 18
    assert max(line.live_waits) <= 60


@pytest.mark.parametrize("kbit", [16, 32, 64])
def test_old_samples_leave_a_quarter_of_the_line(kbit: float) -> None:
    """Over every minute in which nothing else but live samples is left to send."""
    line = SlowLine(kbit=kbit, days=5)
    line.run(2000)
    begins = line.full_s[ROLL] + 10
    ends = line.full_s.get(RAW, 2000.0)
    minute, checked = begins, 0
    while minute + 60 <= ends:
        used = sum(
            min(to, minute + 60) - max(since, minute)
            for since, to in line.old_raw_s
            if to > minute and since < minute + 60
        )
        assert used <= 0.76 * 60
        minute, checked = minute + 7, checked + 1
    whole = sum(to - since for since, to in line.old_raw_s if since >= begins)
    assert checked > 3
    assert whole >= 0.5 * (ends - begins), "nor is the line left idle"
