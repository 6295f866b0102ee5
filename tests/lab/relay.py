"""The relay: moves packets between pairs of TUN devices, late, thinned or forged.

One process with one loop for all links of a lab (tests/bench/relay.py says why).
It owns the clock, the dice and the descriptors; what happens to a packet is
decided by censor.py and shaping.py. Questions come on standard input, as JSON:
{"link": ID, "rules": [...], "delay_ms": …, "loss": …, "rate_kbit": …}.
"""

import contextlib
import heapq
import json
import os
import random
import select
import sys
import time
from dataclasses import dataclass, field

import msgspec

from tests.lab.censor import Censor
from tests.lab.knobs import Knob
from tests.lab.rules import Direction, Rule, in_order
from tests.lab.shaping import Shape, Throttle
from tests.lab.tun import die_with_parent, go_first, open_tun
from tests.lab.worker import reply, reply_error

COUNTS = '"counts"'
"""The question for packets passed and lost per link since the start."""
_BATCH = 64
"""Packets read from one device before the others get their turn."""
_PACKET_BYTES_MAX = 65_536


class LinkQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a link shall do from now on."""

    link: str
    rules: list[Rule] = []
    delay_ms: float = 0.0
    loss: float = 0.0
    rate_kbit: float | None = None


@dataclass(slots=True)
class Link:
    """A pair of TUN devices: `ends[0]` is on the probe's side."""

    ends: tuple[int, int]
    censor: Censor = field(default_factory=Censor)
    shapes: tuple[Shape, Shape] = field(default_factory=lambda: (Shape(), Shape()))
    passed: int = 0
    lost: int = 0

    def set(self, question: LinkQuestion) -> None:
        """Follow new orders; connections seen so far are forgotten if the rules changed."""
        rules = in_order(question.rules)
        if rules != list(self.censor.rules):
            self.censor = Censor(rules)
        lossy = [rule.loss for rule in rules if rule.knob is Knob.LOSSY]
        throttles = {n: rule.rate_kbit for n, rule in enumerate(rules) if rule.rate_kbit}
        self.shapes = tuple(  # type: ignore[assignment]
            Shape(
                question.delay_ms / 1000,
                max([question.loss, *lossy]),
                question.rate_kbit,
                {number: Throttle(rate) for number, rate in throttles.items()},
            )
            for _ in Direction
        )


class Relay:
    """All links, and what waits to leave them."""

    def __init__(self, links: dict[str, Link], *, seed: int) -> None:
        self.links = links
        self._dice = random.Random(seed)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._poll = select.epoll()
        self._readers: dict[int, tuple[Link, Direction]] = {}
        for link in links.values():
            for direction in Direction:
                self._readers[link.ends[direction.value]] = (link, direction)
                self._poll.register(link.ends[direction.value], select.EPOLLIN)
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Relay until standard input ends."""
        while True:
            ready = self._poll.poll(self._patience_s())
            for descriptor, _ in ready:
                if descriptor in self._readers:
                    self._read(descriptor)
                elif not self._obey():
                    return
            self._send_due()

    def _patience_s(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] - time.monotonic())

    def _read(self, descriptor: int) -> None:
        link, direction = self._readers[descriptor]
        for _ in range(_BATCH):
            try:
                raw = os.read(descriptor, _PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                return  # the device is down: nothing comes from it
            now_s = time.monotonic()
            for emit in link.censor.judge(raw, direction):
                due_s = link.shapes[emit.direction.value].due_at(
                    len(emit.raw),
                    now_s,
                    throttle=emit.throttle,
                    dice=self._dice.random(),
                    flow=emit.flow,
                )
                out = link.ends[1 - emit.direction.value]
                if due_s is None:
                    link.lost += 1
                elif due_s <= now_s:
                    link.passed += 1
                    _write(out, emit.raw)
                else:
                    link.passed += 1
                    self._count += 1
                    heapq.heappush(self._waiting, (due_s, self._count, out, emit.raw))

    def _send_due(self) -> None:
        now_s = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, out, raw = heapq.heappop(self._waiting)
            _write(out, raw)

    def _obey(self) -> bool:
        line = sys.stdin.readline()
        if not line:
            return False
        try:
            if line.strip() == COUNTS:
                reply({name: [link.passed, link.lost] for name, link in self.links.items()})
                return True
            question = msgspec.json.decode(line, type=LinkQuestion)
            self.links[question.link].set(question)
            reply(None)
        except Exception as error:
            reply_error(error)
        return True


def _write(descriptor: int, raw: bytes) -> None:
    # The device is down or its queue is full: a packet lost, as on any line.
    with contextlib.suppress(OSError):
        os.write(descriptor, raw)


def main(arguments: list[str]) -> None:
    """Open the TUN pairs, say `ready`, relay. Arguments: a seed, then links as JSON."""
    die_with_parent()
    go_first()
    ends: dict[str, list[list[str]]] = json.loads(arguments[1])
    links = {name: Link((open_tun(*pair[0]), open_tun(*pair[1]))) for name, pair in ends.items()}
    print("ready", flush=True)
    Relay(links, seed=int(arguments[0])).run()


if __name__ == "__main__":
    main(sys.argv[1:])
