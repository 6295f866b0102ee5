"""What a connection carries is told, by the kernel's count, whatever comes of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from linewatch_agent.mqtt.client import LOOK_UP_BYTES, LineClient
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.plan.endpoint import Endpoint
from tests.support.broker import HOST, LocalServer, free_ports, running_server

BIG_BYTES = 50_000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


class Told:
    """The bytes that were told: of connecting, and after it."""

    def __init__(self) -> None:
        self.opening = 0
        self.after = 0

    def __call__(self, *, bytes_out: int, bytes_in: int, opening: bool) -> None:
        """Add them."""
        if opening:
            self.opening += bytes_out + bytes_in
        else:
            self.after += bytes_out + bytes_in


def client(server: LocalServer, told: Told, endpoint: Endpoint) -> LineClient:
    """Return a client that the broker takes."""
    tls = tls_context(
        authority_pem=server.layout.authority_certificate.read_text(),
        certificate=server.layout.certificate("server"),
        key=server.layout.key("server"),
    )
    return LineClient(endpoint, tls=tls, identifier="x", on_bytes=told)


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_a_connection_is_counted_from_its_first_packet_to_its_last(
    server: LocalServer, scheme: str
) -> None:
    """TLS and MQTT's beginning apart from what follows; what is asked for twice counts once."""
    told = Told()
    endpoint = server.mqtts if scheme == "mqtts" else server.wss
    async with client(server, told, endpoint) as connected:
        assert 3_000 < told.opening < 12_000
        assert told.after == 0
        await connected.publish("lw/1/x", b"y" * BIG_BYTES, qos=1)
        connected.count()
        connected.count()
        assert BIG_BYTES < told.after < 1.1 * BIG_BYTES
        before = told.after
    assert 0 <= told.after - before < 1_000


async def test_a_connection_that_is_cut_is_counted_as_well(server: LocalServer) -> None:
    """By us, without a word to the broker."""
    told = Told()

    async def cut() -> None:
        async with client(server, told, server.mqtts) as connected:
            await connected.publish("lw/1/x", b"y" * BIG_BYTES, qos=1)
            connected.hang_up()
            await anext(connected.messages)

    with pytest.raises(aiomqtt.MqttError):
        await cut()
    assert BIG_BYTES < told.after < 1.1 * BIG_BYTES


@pytest.mark.parametrize(("host", "reckoned"), [("localhost", sum(LOOK_UP_BYTES)), (HOST, 0)])
async def test_only_what_is_looked_up_is_reckoned(
    server: LocalServer, host: str, reckoned: int
) -> None:
    """A closed port costs what asking for a name does, and that is not of connecting."""
    told = Told()
    with pytest.raises(aiomqtt.MqttError):
        await client(server, told, Endpoint("wss", host, free_ports(1)[0])).__aenter__()
    assert (told.opening, told.after) == (0, reckoned)


async def test_an_attempt_that_is_refused_is_counted(server: LocalServer) -> None:
    """A certificate for another name: TLS was spoken, and costs what connecting does."""
    told = Told()
    other_name = Endpoint(server.mqtts.scheme, "other.example", server.mqtts.port, HOST)
    with pytest.raises(aiomqtt.MqttError):
        await client(server, told, other_name).__aenter__()
    assert told.opening > 1_000
