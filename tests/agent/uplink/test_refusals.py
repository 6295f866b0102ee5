"""Brokers that refuse, in words or by silence: what is said, what is tried next, and when."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from linewatch_agent.mqtt.client import open_socket
from linewatch_agent.mqtt.connect_problem import ProblemKind, refusal_problem
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.uplink.way_order import Way
from linewatch_core.sync.uploader import UploadLimits
from linewatch_server.fleet import enrolment
from tests.support.broker import HOST, LocalServer, running_server, utc_now
from tests.support.hostile import (
    FakeBroker,
    Interceptor,
    broker_tls,
    deaf_port,
    serving,
    silence,
)
from tests.support.uplinks import scene


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


UNWANTED = "the server refused this probe's certificate: ask for a new token"
BUSY = "the server is busy or is being restarted: it is tried again later"


@pytest.mark.parametrize(
    ("code", "says", "first_waits"),
    [
        (1, "what answered does not speak MQTT 3.1.1: ask the operator", [4, 8, 16]),
        (2, "the broker cannot serve this probe (0x85): ask the operator", [4, 8, 16]),
        (3, BUSY, [60, 60, 60]),
        (4, UNWANTED, [300, 300, 300]),
        (5, UNWANTED, [300, 300, 300]),
    ],
)
async def test_a_refusal_is_said_and_waited_out_as_its_kind_asks(
    refused: Callable[[int], Awaitable[str | None]],
    short_waits: list[float],
    code: int,
    says: str,
    first_waits: list[float],
) -> None:
    """Who is not wanted comes back seldom; a busy broker is left alone for a minute."""
    assert await refused(code) == says
    assert short_waits[:3] == first_waits


@pytest.fixture
def refused(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> Callable[[int], Awaitable[str | None]]:
    """Return what runs an uplink against a broker that refuses it, until it has waited thrice."""

    async def run(code: int) -> str | None:
        broker = FakeBroker(connack=code)
        async with serving(broker.serve, tls=broker_tls(server)) as port:
            ways = [Way(Endpoint("mqtts", HOST, port), None, open_socket)]
            async with scene(server, tmp_path, ways) as here:
                here.start()
                await here.until(lambda: len(short_waits) >= 3)
                return here.uplink.state.problem

    return run


async def test_a_busy_broker_is_not_asked_at_its_next_port(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """But another provider is."""
    busy = FakeBroker(connack=3)
    asked: list[str] = []

    def make(host: str, port: int) -> socket.socket:
        asked.append(host)
        return open_socket(HOST, port)

    async with serving(busy.serve, tls=broker_tls(server)) as port:
        twice = [Way(Endpoint("mqtts", HOST, port), line, make) for line in ("a", "b")]
        other = Way(Endpoint("mqtts", "localhost", server.mqtts.port), "a", make)
        async with scene(server, tmp_path, [*twice, other]) as here:
            here.start()
            await here.until(lambda: here.uplink.state.connected)
    assert asked == [HOST, "localhost"]


async def test_a_subscription_that_is_refused_ends_the_session(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """No ack could ever come: that is said, and another way is tried."""
    broker = FakeBroker(suback=0x80)
    async with serving(broker.serve, tls=broker_tls(server)) as port:
        ways = [
            Way(Endpoint("mqtts", HOST, port), None, open_socket),
            Way(server.mqtts, None, open_socket),
        ]
        async with scene(server, tmp_path, ways) as here:
            here.start()
            await here.until(lambda: here.uplink.state.connected)
            assert here.uplink.state.endpoint == str(server.mqtts)
    assert broker.seen == []


async def test_a_broker_that_swallows_what_is_published_is_left_for_another(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """MQTT 3.1.1 has no word for a refused PUBLISH: only the missing ack tells."""
    swallows = FakeBroker()
    impatient = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=0.3)
    async with serving(swallows.serve, tls=broker_tls(server)) as port:
        ways = [
            Way(Endpoint("mqtts", HOST, port), None, open_socket),
            Way(server.mqtts, None, open_socket),
        ]
        async with scene(server, tmp_path, ways, limits=impatient) as here:
            here.hold(1, 10)
            here.start()
            await here.until(here.segments)
            assert here.uplink.state.endpoint == str(server.mqtts)
    assert swallows.connects == 1
    assert any(topic.endswith("/up/raw") for topic in swallows.seen)


async def test_publishes_that_mosquitto_refuses_are_noticed(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """Its access list denies all to this probe, whom its WebSocket port lets in: no word of it."""
    impatient = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=0.3)
    async with scene(
        server, tmp_path, [Way(server.wss, None, open_socket)], limits=impatient
    ) as here:
        old = server.broker.pid
        revoke = partial(enrolment.revoke, server.layout.directory, probe=here.probe, now=utc_now())
        await asyncio.to_thread(revoke)
        while server.broker.pid == old or not server.broker.ready.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        here.hold(1, 10)
        here.start()
        await here.until(lambda: here.uplink.state.problem == "the server acknowledged nothing")
        await here.until(lambda: here.backend.conn >= 3)
        assert here.backend.machine.backlog() == 10


async def test_a_way_that_worked_is_left_too_when_acks_no_longer_come(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """That it worked once must not make it the first for ever."""
    ways = [Way(server.mqtts, None, open_socket), Way(server.wss, None, open_socket)]
    impatient = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=0.3)
    async with scene(server, tmp_path, ways, limits=impatient) as here:
        here.start()
        await here.until(here.statuses)
        await here.say(0)
        await here.until(lambda: here.backend.times)
        here.hold(1, 10)
        await here.until(lambda: here.backend.conn == 2 and here.uplink.state.connected)
        assert here.uplink.state.endpoint == str(server.wss)


async def test_the_whole_list_is_gone_through_to_the_way_that_is_open(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """A dropped port, a tarpit, an interceptor, a broker that refuses; then WebSocket."""
    middle, refuses = Interceptor(server), FakeBroker(connack=5)
    async with AsyncExitStack() as stack:
        ports = [
            stack.enter_context(deaf_port()),
            await stack.enter_async_context(serving(silence)),
            await stack.enter_async_context(middle.listening()),
            await stack.enter_async_context(serving(refuses.serve, tls=broker_tls(server))),
        ]
        ways = [Way(Endpoint("mqtts", HOST, port), None, open_socket) for port in ports]
        ways.append(Way(server.wss, None, open_socket))
        async with scene(server, tmp_path, ways, budget_s=1.0) as here:
            here.start()
            await here.until(lambda: here.uplink.state.connected)
            assert here.uplink.state.attempts == len(ways)
            assert here.uplink.state.endpoint == str(server.wss)
    assert short_waits == []
    assert (middle.read, refuses.seen) == (b"", [])


def test_every_refusal_has_a_kind() -> None:
    """Of MQTT 5 too, which other brokers may speak through a bridge."""
    kinds: dict[ProblemKind, list[int]] = {}
    for code in range(0x80, 0xA3):
        kinds.setdefault(refusal_problem(code).kind, []).append(code)
    assert kinds[ProblemKind.CREDENTIALS] == [0x86, 0x87, 0x8A, 0x8C]
    assert kinds[ProblemKind.BUSY] == [0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x9F]
    assert len(kinds[ProblemKind.UNFIT]) == 0xA3 - 0x80 - 11
