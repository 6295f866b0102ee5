"""How much the lab's TUN relay carries, and whether one process for all links is enough.

Pairs of namespaces joined by the relay alone. Bulk TCP gives Mbit/s, a flood of
100-byte datagrams packets a second (those that arrived), an idle echo the delay that
the relay adds. First one link, then four at once, by one process and by one process
each; without rules, and with the rules of a busy censor. Senders and receivers
share the machine's processors with the relay. Exits 1 if one process carries less
than the lab's peak load with half of it to spare. Run as root:

    python -m tests.bench.relay
"""

import json
import multiprocessing
import socket
import sys
import time
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from statistics import median

import msgspec

from linewatch_agent.checks.clocks import SYSTEM_CLOCK
from linewatch_agent.checks.icmp import Pinger
from tests.lab.knobs import Knob, Spoof
from tests.lab.relay import LinkQuestion
from tests.lab.rules import Rule
from tests.lab.tun import in_netns
from tests.lab.worker import Worker
from tests.support.netns import Netns, namespaces

SECONDS = 3.0
ECHOES = 200
DATAGRAM_BYTES = 100
LOAD_MBIT, LOAD_PACKETS = 140, 7_500
"""The lab's peak: the rates of its three lines together, twice over (access and international
link), and the packets of all its checks on every line once a second (7,200 counted)."""
SPARE = 1.5
RULES = [
    Rule(Knob.SNI_RESET, names=("news-one.example", "news-two.example")),
    Rule(Knob.HTTP_RESET, names=("news-one.example",)),
    Rule(Knob.DNS_SPOOF, names=("news-one.example",), mode=Spoof.BOGON),
    Rule(Knob.BLACKHOLE, addresses=frozenset({bytes((11, 1, 1, 1))})),
]
Pair = tuple[Netns, Netns]


def _receive_tcp(name: str, seconds: float, said: Connection) -> None:
    with in_netns(name):
        listener = socket.create_server(("10.9.0.2", 9000))
    said.send("ready")
    peer, _ = listener.accept()
    began_s, count = time.monotonic(), 0
    peer.settimeout(1)
    while time.monotonic() - began_s < seconds:
        count += len(peer.recv(1 << 18))
    said.send(count * 8 / 1e6 / (time.monotonic() - began_s))


def _send_tcp(name: str, seconds: float) -> None:
    with in_netns(name):
        sock = socket.create_connection(("10.9.0.2", 9000))
    began_s, block = time.monotonic(), bytes(1 << 16)
    with suppress(OSError):  # the receiver has seen enough
        while time.monotonic() - began_s < seconds + 0.5:
            sock.sendall(block)


def _receive_udp(name: str, seconds: float, said: Connection) -> None:
    with in_netns(name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("10.9.0.2", 9000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.settimeout(5)
    said.send("ready")
    sock.recv(2048)
    began_s, count = time.monotonic(), 0
    while time.monotonic() - began_s < seconds:
        sock.recv(2048)
        count += 1
    said.send(count / (time.monotonic() - began_s))


def _send_udp(name: str, seconds: float) -> None:
    with in_netns(name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("10.9.0.2", 9000))
    began_s, data = time.monotonic(), bytes(DATAGRAM_BYTES)
    with suppress(OSError):  # the receiver has seen enough
        while time.monotonic() - began_s < seconds + 0.5:
            for _ in range(20):
                sock.send(data)


def carried(pairs: list[Pair], *, tcp: bool) -> float:
    """Return what all pairs together got through: Mbit/s of TCP, or datagrams a second."""
    receive, send = (_receive_tcp, _send_tcp) if tcp else (_receive_udp, _send_udp)
    running, heard = [], []
    for _, far in pairs:
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.Process(target=receive, args=(far.name, SECONDS, theirs))
        child.start()
        running.append(child)
        assert mine.recv() == "ready"
        heard.append(mine)
    for near, _ in pairs:
        child = multiprocessing.Process(target=send, args=(near.name, SECONDS))
        child.start()
        running.append(child)
    total = sum(float(each.recv()) for each in heard)
    for child in running:
        child.join()
    return total


async def echo_us(address: str, count: int) -> float:
    """Return the median round trip in µs of echoes one after the other; runs inside."""
    pinger = Pinger("tun0", 4, clock=SYSTEM_CLOCK)
    try:
        outcomes = [await pinger.ping(address, timeout_s=1) for _ in range(count)]
    finally:
        pinger.close()
    return float(median(each.rtt_us for each in outcomes if each.rtt_us is not None))


def relays(pairs: list[Pair], *, shared: bool, rules: list[Rule]) -> list[Worker]:
    """Start one relay for all pairs, or one each, and give the devices their addresses."""
    groups = [pairs] if shared else [[pair] for pair in pairs]
    workers = []
    for group in groups:
        ends = {str(n): [[end.name, "tun0"] for end in pair] for n, pair in enumerate(group)}
        worker = Worker("tests.lab.relay", "1", json.dumps(ends), netns=group[0][0].name)
        worker.await_ready()
        for name in ends:
            question = LinkQuestion(name, rules)
            worker.ask(json.loads(msgspec.json.encode(question)))
        workers.append(worker)
    for pair in pairs:
        for end, address in zip(pair, ("10.9.0.1/24", "10.9.0.2/24"), strict=True):
            end.run("ip", "address", "add", address, "dev", "tun0")
            end.run("ip", "link", "set", "tun0", "up", "txqueuelen", "2000")
            end.allow_ping()
    return workers


def main() -> int:
    """Measure and print; return 0 if one process is enough."""
    names = [f"{side}{n}" for n in range(4) for side in ("a", "b")]
    enough = True
    with namespaces(*names) as made:
        pairs: list[Pair] = [(made[n], made[n + 1]) for n in range(0, 8, 2)]
        print("links  processes  rules   TCP Mbit/s   packets/s   echo µs")
        for links, shared, rules in (
            (1, True, []),
            (1, True, RULES),
            (4, True, []),
            (4, True, RULES),
            (4, False, RULES),
        ):
            used = pairs[:links]
            with ExitStack() as stack:
                for worker in relays(used, shared=shared, rules=rules):
                    stack.callback(worker.stop)
                delay_us = used[0][0].call("tests.bench.relay:echo_us", "10.9.0.2", ECHOES)
                mbit, packets = carried(used, tcp=True), carried(used, tcp=False)
            processes = 1 if shared else links
            print(
                f"{links:5}  {processes:9}  {len(rules):5}  {mbit:11.0f}  {packets:10.0f}"
                f"  {delay_us:8.0f}",
                flush=True,
            )
            if shared:
                enough &= mbit >= SPARE * LOAD_MBIT and packets >= SPARE * LOAD_PACKETS
    print(f"the lab needs {LOAD_MBIT} Mbit/s and {LOAD_PACKETS} packets/s")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
