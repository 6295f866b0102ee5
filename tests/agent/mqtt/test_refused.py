"""What a broker of version 5 says no to, and asks for: nothing of it goes unnoticed."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from linewatch_agent.mqtt.client import LineClient, Version
from linewatch_agent.mqtt.connect_problem import Place, RefusedError, problem_of, refusal_problem
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_server.broker import files
from linewatch_server.settings import Layout
from tests.support.broker import HOST, init_server, running_server
from tests.support.hostile import FakeBroker, layout_tls, serving

CODES = range(0x80, 0xA3)
PACKETS = {
    Place.CONNECT: PacketTypes.CONNACK,
    Place.SUBSCRIBE: PacketTypes.SUBACK,
    Place.PUBLISH: PacketTypes.PUBACK,
    Place.SESSION: PacketTypes.DISCONNECT,
}
NO_MQTT = "what answered does not speak MQTT: ask the operator"
PATIENCE_S = 20.0
"""Far above what any of this takes, far below the budget that is set: nothing may wait for that."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A server's directory, for its certificates."""
    return init_server(tmp_path_factory.mktemp("fleet") / "server")


def tls_of(layout: Layout) -> ssl.SSLContext:
    """Return the context of a client with the server's certificate."""
    return tls_context(
        authority_pem=layout.authority_certificate.read_text(),
        certificate=layout.certificate("server"),
        key=layout.key("server"),
    )


@asynccontextmanager
async def joined(layout: Layout, broker: FakeBroker, **options: Any) -> AsyncIterator[LineClient]:
    """Yield a client of version 5 on a fake broker; a client that was refused cannot hang."""
    async with serving(broker.serve, tls=layout_tls(layout)) as port, asyncio.timeout(PATIENCE_S):
        endpoint = Endpoint("mqtts", HOST, port)
        client = LineClient(
            endpoint, tls=tls_of(layout), identifier="x", budget_s=10 * PATIENCE_S, **options
        )
        async with client:
            yield client


async def use(layout: Layout, broker: FakeBroker) -> None:
    """Do with a broker what a session does."""
    async with joined(layout, broker) as client:
        await client.subscribe("down", qos=1)
        await client.publish("up", b"x", qos=1)


def broker_that_refuses(place: Place, code: int) -> FakeBroker:
    """Return a broker of version 5 that says one code at one place."""
    match place:
        case Place.CONNECT:
            return FakeBroker(speaks=5, connack=code)
        case Place.SUBSCRIBE:
            return FakeBroker(speaks=5, suback=code)
        case Place.PUBLISH:
            return FakeBroker(speaks=5, puback=code)
        case Place.SESSION:
            return FakeBroker(speaks=5, disconnect=code)


def is_allowed(place: Place, code: int) -> bool:
    """Return whether MQTT lets a broker say this code there."""
    try:
        ReasonCode(PACKETS[place], identifier=code)
    except (KeyError, ValueError):
        return False
    return True


@pytest.mark.parametrize("place", Place)
async def test_every_code_at_every_place_is_noticed_at_once(layout: Layout, place: Place) -> None:
    """With the table's meaning; a code that MQTT does not allow there breaks the connection."""
    for code in CODES:
        with pytest.raises(aiomqtt.MqttError) as caught:
            await use(layout, broker_that_refuses(place, code))
        if is_allowed(place, code):
            assert isinstance(caught.value, RefusedError)
            assert (caught.value.place, caught.value.code) == (place, code)
            assert problem_of(caught.value) == refusal_problem(place, code)
        else:
            assert problem_of(caught.value).text == NO_MQTT


async def test_all_who_wait_are_told_of_a_refusal(layout: Layout) -> None:
    """Of eight publishes the broker refuses the third: none after it counts as taken."""
    broker = FakeBroker(speaks=5, puback=0x97, refuses="3")
    async with joined(layout, broker) as client:
        ends = await asyncio.gather(
            *(client.publish(f"up/{n}", b"x", qos=1) for n in range(1, 9)), return_exceptions=True
        )
    assert all(isinstance(end, RefusedError) for end in ends[2:])


async def test_who_listens_is_told_why_the_server_ended_it(layout: Layout) -> None:
    """By the cause of the error that the listener gets."""
    broker = FakeBroker(speaks=5, disconnect=0x8E)
    with suppress(aiomqtt.MqttError):
        async with joined(layout, broker) as client:
            publishing = asyncio.create_task(client.publish("up", b"x", qos=1))
            with pytest.raises(aiomqtt.MqttError) as caught:
                await anext(client.messages)
            assert "another computer uses" in problem_of(caught.value).text
            await publishing


async def test_a_broker_that_just_hangs_up_is_no_refusal(layout: Layout) -> None:
    """As every cut line does; whoever waits is told at once."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00")
        await writer.drain()
        await reader.read(4096)

    async with serving(cut, tls=layout_tls(layout)) as port, asyncio.timeout(PATIENCE_S):
        endpoint = Endpoint("mqtts", HOST, port)
        client = LineClient(endpoint, tls=tls_of(layout), identifier="x", budget_s=200.0)
        async with client:
            with pytest.raises(aiomqtt.MqttError) as caught:
                await client.publish("up", b"x", qos=1)
    assert problem_of(caught.value).text == "the server could not be reached"
    assert client.was_hung_up


# --- what it asks for ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "in_flight", "keepalive_s"),
    [
        (b"", 20, 60),
        (b"\x21\x00\x03", 3, 60),
        (b"\x21\xff\xff", 20, 60),
        (b"\x13\x00\x1e", 20, 30),
        (b"\x13\x04\xb0", 20, 60),
        (b"\x13\x00\x00", 20, 60),
    ],
    ids=["nothing", "receive 3", "receive 65535", "keep alive 30", "keep alive 1200", "never"],
)
async def test_what_the_broker_asks_for_is_heeded(
    layout: Layout, properties: bytes, in_flight: int, keepalive_s: int
) -> None:
    """Never more messages than it takes; pings as often as it asks, or as we do if that is more."""
    async with joined(layout, FakeBroker(speaks=5, properties=properties)) as client:
        assert client._client.max_inflight_messages == in_flight
        assert client._client.keepalive == keepalive_s
        await asyncio.gather(*(client.publish("up", b"x", qos=1) for _ in range(10)))


async def test_what_is_larger_than_the_broker_takes_is_not_sent(layout: Layout) -> None:
    """It would end the connection; to the byte, and what is smaller still goes."""
    broker = FakeBroker(speaks=5, properties=b"\x27\x00\x00\x01\x00")
    async with joined(layout, broker) as client:
        await client.publish("up", b"x" * (256 - 12), qos=1)
        with pytest.raises(RefusedError, match="does not take messages as large as ours"):
            await client.publish("up", b"x" * 256, qos=1)
        await client.publish("up", b"x", qos=1)
    assert broker.seen == ["up", "up"]


# --- the real one --------------------------------------------------------------------


async def test_mosquitto_says_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's topic by its access list; a large message by its limit, or hangs up."""
    monkeypatch.setattr(files, "PACKET_BYTES_MAX", 20_000)
    async with running_server(tmp_path / "server") as server:
        identity = await server.enrol_probe(tmp_path / "probe")
        tls = tls_context(
            authority_pem=identity.authority_pem,
            certificate=identity.certificate_path,
            key=identity.key_path,
        )
        make = partial(
            LineClient, server.mqtts, tls=tls, identifier=identity.probe, budget_s=PATIENCE_S
        )
        async with make() as client:
            with pytest.raises(RefusedError, match="not take messages as large"):
                await client.publish(f"lw/1/{identity.probe}/up/raw", b"x" * 20_000, qos=1)
            await client.publish(f"lw/1/{identity.probe}/up/raw", b"x" * 19_000, qos=1)
            with pytest.raises(RefusedError, match="takes nothing from this probe"):
                await client.publish("lw/1/elsewhere/up/raw", b"x", qos=1)
        async with make() as client:
            client._packet_bytes_max = None
            with pytest.raises(RefusedError) as caught:
                await client.publish(f"lw/1/{identity.probe}/up/raw", b"x" * 21_000, qos=1)
    assert (caught.value.place, caught.value.code) == (Place.SESSION, 0x95)


# --- nonsense ------------------------------------------------------------------------


def _mutated(rng: random.Random) -> Iterator[bytes]:
    """Yield packets of a broker, each with something wrong."""
    whole = [
        b"\x20\x03\x00\x00\x00",
        b"\x20\x08\x00\x00\x05\x27\x00\x00\x01\x00",
        b"\x90\x04\x00\x01\x00\x01",
        b"\x40\x03\x00\x01\x87",
        b"\x40\x07\x00\x01\x97\x03\x1f\x00\x00",
        b"\xe0\x02\x8b\x00",
        b"\x32\x08\x00\x01a\x00\x07\x00xy",
        b"\xf0\x02\x18\x00",
    ]
    while True:
        packet = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(4)):
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        yield bytes(packet) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 12))


@pytest.mark.parametrize("version", [Version.V5, Version.V311])
@pytest.mark.parametrize("seed", range(3))
async def test_nonsense_raises_mqtt_errors_only(
    layout: Layout, version: Version, seed: int
) -> None:
    """At any moment; nothing hangs, and no error is left for the event loop to report."""
    rng = random.Random(seed)
    left: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    packets = _mutated(rng)

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        welcome = b"\x20\x03\x00\x00\x00" if version is Version.V5 else b"\x20\x02\x00\x00"
        writer.write(welcome if rng.random() < 0.7 else b"")
        for _ in range(rng.randrange(4)):
            writer.write(next(packets))
            await writer.drain()
        writer.close()
        await reader.read(4096)

    async with serving(babble, tls=layout_tls(layout)) as port, asyncio.timeout(6 * PATIENCE_S):
        endpoint = Endpoint("mqtts", HOST, port)
        for _ in range(60):
            client = LineClient(
                endpoint, tls=tls_of(layout), identifier="x", budget_s=1.0, version=version
            )
            with suppress(aiomqtt.MqttError):
                async with client:
                    await client.subscribe("down", qos=1)
                    await client.publish("up", b"x", qos=1)
                    await anext(client.messages)
    assert left == []
