"""Brokers that refuse, in words or by silence: what is said, what is tried next, and when."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from linewatch_agent.mqtt import strict
from linewatch_agent.mqtt.connect_problem import Place, ProblemKind, refusal_problem
from linewatch_agent.mqtt.opening import Watch, open_socket
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.uplink.way_order import Way
from linewatch_core.sync.upload_talk import Command, Event, Published
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


Refused: TypeAlias = Callable[[FakeBroker], Awaitable[tuple[str | None, list[Event]]]]

UNWANTED = "the server refused this probe's certificate: ask for a new token"
BUSY = "the server is busy or is being restarted: it is tried again later"


@pytest.mark.parametrize(
    ("code", "says", "first_waits"),
    [
        (1, "what answered does not speak MQTT: ask the operator", [4, 8, 16]),
        (2, "the broker cannot serve this probe (0x85): ask the operator", [4, 8, 16]),
        (3, BUSY, [60, 60, 60]),
        (4, UNWANTED, [300, 300, 300]),
        (5, UNWANTED, [300, 300, 300]),
    ],
)
async def test_a_refusal_is_said_and_waited_out_as_its_kind_asks(
    refused: Refused,
    short_waits: list[float],
    code: int,
    says: str,
    first_waits: list[float],
) -> None:
    """Who is not wanted comes back seldom; a busy broker is left alone for a minute."""
    problem, _ = await refused(FakeBroker(connack=code))
    assert problem == says
    assert short_waits[:3] == first_waits


@pytest.fixture
def refused(
    server: LocalServer, tmp_path: Path, short_waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Return what runs an uplink with something to send against a broker until it waited thrice."""

    async def run(broker: FakeBroker) -> tuple[str | None, list[Event]]:
        limits = UploadLimits(birth_ack_wait_s=0.01)
        told: list[Event] = []
        async with serving(broker.serve, tls=broker_tls(server)) as port:
            ways = [Way(Endpoint("mqtts", HOST, port), None, open_socket)]
            async with scene(server, tmp_path, ways, limits=limits) as here:
                machine = here.backend.machine
                handle = machine.handle

                def spy(event: Event, now: float) -> list[Command]:
                    told.append(event)
                    return handle(event, now)

                monkeypatch.setattr(machine, "handle", spy)
                here.hold(1, 10)
                here.start()
                await here.until(lambda: len(short_waits) >= 3)
                assert machine.backlog() == 10
                return here.uplink.state.problem, told

    return run


TAKEN = "another computer uses this probe's identity: tell the operator"
TOO_LARGE = "this broker does not take messages as large as ours: ask the operator"


@pytest.mark.parametrize(
    ("refusal", "says", "first_waits"),
    [
        (
            {"puback": 0x97},
            "the broker takes no more of this probe for now: it is tried again later",
            [60, 60, 60],
        ),
        (
            {"puback": 0x87},
            "the server takes nothing from this probe: ask for a new token",
            [300, 300, 300],
        ),
        (
            {"puback": 0x99},
            "the broker refuses what this probe sends (0x99): ask the operator",
            [4, 8, 16],
        ),
        ({"disconnect": 0x8E}, TAKEN, [60, 60, 60]),
        ({"disconnect": 0x8B}, "the server ended the connection: it is tried again", [4, 8, 16]),
        (
            {"disconnect": 0x9C},
            "the server says that it has moved: ask the operator for its new endpoints",
            [4, 8, 16],
        ),
        ({"properties": b"\x27\x00\x00\x00\x60"}, TOO_LARGE, [4, 8, 16]),
    ],
    ids=["quota", "unauthorised", "payload", "taken over", "shutting down", "moved", "too large"],
)
async def test_a_refused_segment_ends_the_session_and_waits_to_go_again(
    refused: Refused,
    short_waits: list[float],
    refusal: dict[str, Any],
    says: str,
    first_waits: list[float],
) -> None:
    """It is said, it counts as sent nowhere, and the wait is what the refusal's kind asks."""
    problem, told = await refused(FakeBroker(speaks=5, refuses="/up/raw", **refusal))
    assert problem == says
    assert short_waits[:3] == first_waits
    assert not any(isinstance(event, Published) for event in told)


async def test_a_broker_that_refuses_is_left_for_another_at_once(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """Without a wait: another provider may take what this one does not."""
    refuses = FakeBroker(speaks=5, refuses="/up/raw", puback=0x99)
    limits = UploadLimits(birth_ack_wait_s=0.01)
    async with serving(refuses.serve, tls=broker_tls(server)) as port:
        ways = [Way(Endpoint("mqtts", HOST, port), None, open_socket)]
        ways.append(Way(server.mqtts, None, open_socket))
        async with scene(server, tmp_path, ways, limits=limits) as here:
            here.hold(1, 10)
            here.start()
            await here.until(here.segments)
            assert here.uplink.state.endpoint == str(server.mqtts)
    assert short_waits == []


async def test_a_refusal_after_a_good_session_begins_the_backoff_anew(
    server: LocalServer,
    tmp_path: Path,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What failed before it is past; a quota that is used up once a day must not add up."""
    monkeypatch.setattr("linewatch_agent.uplink.uplink.STEADY_S", 0.0)
    broker = FakeBroker(connack=2)
    async with serving(broker.serve, tls=broker_tls(server)) as port:
        refuses = Way(Endpoint("mqtts", HOST, port), None, open_socket)
        async with scene(server, tmp_path, [refuses]) as here:
            here.start()
            await here.until(lambda: len(short_waits) >= 3)
            here.backend.all_ways = [Way(server.mqtts, None, open_socket)]
            await here.until(here.statuses)
            await here.say(0)
            await here.until(lambda: here.backend.times)
            before = len(short_waits)
            monkeypatch.setattr(strict, "PUBLISH_HEAD_BYTES", 1 << 20)
            here.hold(1, 10)
            await here.until(lambda: len(short_waits) > before)
            assert here.uplink.state.problem == TOO_LARGE
            assert short_waits[before] == 4


async def test_a_busy_broker_is_not_asked_at_its_next_port(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """But another provider is."""
    busy = FakeBroker(speaks=5, connack=0x89)
    asked: list[str] = []

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        asked.append(host)
        return open_socket(HOST, port, watch)

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
    impatient = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=1.0)
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


async def test_a_publish_that_mosquitto_refuses_is_noticed_at_once(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """Its access list denies all to this probe, whom its WebSocket port lets in."""
    async with scene(server, tmp_path, [Way(server.wss, None, open_socket)]) as here:
        old = server.broker.pid
        revoke = partial(enrolment.revoke, server.layout.directory, probe=here.probe, now=utc_now())
        await asyncio.to_thread(revoke)
        while server.broker.pid == old or not server.broker.ready.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        here.hold(1, 10)
        here.start()
        said = "the server takes nothing from this probe: ask for a new token"
        await here.until(lambda: here.uplink.state.problem == said)
        await here.until(lambda: here.backend.conn >= 3)
        assert short_waits[:2] == [300, 300]
        assert here.backend.machine.backlog() == 10


async def test_a_way_that_worked_is_left_too_when_acks_no_longer_come(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """That it worked once must not make it the first for ever."""
    ways = [Way(server.mqtts, None, open_socket), Way(server.wss, None, open_socket)]
    impatient = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=1.0)
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


@pytest.mark.parametrize("place", Place)
def test_every_refusal_has_a_kind(place: Place) -> None:
    """Wherever it is said; what MQTT adds one day makes a broker unfit."""
    kinds: dict[ProblemKind, list[int]] = {}
    for code in range(0x80, 0x100):
        kinds.setdefault(refusal_problem(place, code).kind, []).append(code)
    assert kinds[ProblemKind.CREDENTIALS] == [0x86, 0x87, 0x8A, 0x8C]
    assert kinds[ProblemKind.BUSY] == [0x88, 0x89, 0x8E, 0x93, 0x96, 0x97, 0x9F]
    assert kinds[ProblemKind.UNREACHED] == [0x8B, 0x8D, 0x98, 0xA0]
    assert len(kinds[ProblemKind.UNFIT]) == 0x80 - 15
