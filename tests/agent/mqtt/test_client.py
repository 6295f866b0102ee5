"""The one connection: endpoints, TLS, sockets that others make, servers that hang."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import aiomqtt
import paho.mqtt.client
import pytest

from linewatch_agent.lines.connect import connect_over
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.connect_problem import connect_problem
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.mqtt.opening import Watch, open_socket
from linewatch_agent.plan.endpoint import Endpoint, parse_endpoint
from linewatch_agent.plan.line import Line
from linewatch_core.errors import MalformedError
from linewatch_core.records import LineKind
from linewatch_server.fleet.pki import Authority
from tests.support.broker import HOST, LocalServer, free_ports, running_server
from tests.support.hostile import deaf_port


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("mqtts://a.example:8883", Endpoint("mqtts", "a.example", 8883)),
        ("wss://192.0.2.7:443/", Endpoint("wss", "192.0.2.7", 443)),
        ("wss://a.example:443/x/y", Endpoint("wss", "a.example", 443, path="/x/y")),
        ("mqtts://[2001:db8::7]:8883", Endpoint("mqtts", "2001:db8::7", 8883)),
        ("mqtts://a.example:443?at=192.0.2.7", Endpoint("mqtts", "a.example", 443, "192.0.2.7")),
        ("wss://a.example:443/?at=2001:db8::7", Endpoint("wss", "a.example", 443, "2001:db8::7")),
    ],
)
def test_an_endpoint_is_read_and_written(text: str, endpoint: Endpoint) -> None:
    """Names, IPv4 and IPv6, and addresses beside names."""
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text.rstrip("/").replace("/?", "?")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example:8883",
        "mqtt://a:1883",
        "mqtts://a",
        "mqtts://a:0",
        "wss://a:65536",
        "wss://a b:1",
        "mqtts://a:8883?at=b.example",
        "mqtts://a:8883?at=1.2.3.4.5",
        "mqtts://a:8883?at=",
        "mqtts://a:8883/mqtt",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    """Plain MQTT above all."""
    with pytest.raises(MalformedError, match="not an endpoint: "):
        parse_endpoint(text)


def test_paho_has_the_hooks_that_line_client_replaces() -> None:
    """A new paho without them would bypass the line that a socket is bound to."""
    for hook in ("_create_socket", "_create_socket_connection", "_ssl_wrap_socket"):
        assert callable(getattr(paho.mqtt.client.Client, hook))
    for hook in ("connect", "disconnect", "publish", "socket_register_write"):
        assert callable(getattr(aiomqtt.Client, f"_on_{hook}"))


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_the_socket_is_the_one_that_was_made(server: LocalServer, scheme: str) -> None:
    """Over both transports all bytes go through the socket of `make_socket`."""
    endpoint = server.mqtts if scheme == "mqtts" else server.wss
    asked: list[tuple[str, int]] = []

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        asked.append((host, port))
        return socket.create_connection((host, port))

    client = LineClient(endpoint, tls=_tls(server), identifier="x", make_socket=make)
    async with client:
        await client.subscribe("lw/1/#", qos=1)
        await client.publish("lw/1/x", b"y" * 50_000, qos=1)
        message = await anext(client.messages)
        assert message.payload == b"y" * 50_000
    assert asked == [(endpoint.host, endpoint.port)]


async def test_only_the_fleets_authority_is_trusted(server: LocalServer, tmp_path: Path) -> None:
    """A server in the middle with another authority's certificate gets no byte of MQTT."""
    other, _ = Authority.create()
    pair = other.issue_client("server")
    (tmp_path / "c").write_bytes(pair.certificate_pem)
    (tmp_path / "k").write_bytes(pair.key_pem)
    tls = tls_context(
        authority_pem=other.certificate_pem.decode(), certificate=tmp_path / "c", key=tmp_path / "k"
    )
    with pytest.raises(aiomqtt.MqttError) as caught:
        await LineClient(server.mqtts, tls=tls, identifier="x").__aenter__()
    assert connect_problem(caught.value) == "somebody else answered in the server's place"


async def test_another_name_than_the_certificates_is_refused(server: LocalServer) -> None:
    """The right authority does not make up for the wrong name."""
    endpoint = Endpoint("mqtts", "127.0.0.3", server.mqtts.port)
    make = lambda _, port, __: socket.create_connection((HOST, port))  # noqa: E731
    with pytest.raises(aiomqtt.MqttError) as caught:
        await LineClient(endpoint, tls=_tls(server), identifier="x", make_socket=make).__aenter__()
    assert "another name" in connect_problem(caught.value)


async def test_nobody_there_is_said(server: LocalServer) -> None:
    """A closed port is told from a silent one."""
    endpoint = Endpoint("wss", HOST, free_ports(1)[0])
    with pytest.raises(aiomqtt.MqttError) as caught:
        await LineClient(endpoint, tls=_tls(server), identifier="x").__aenter__()
    assert connect_problem(caught.value) == "nothing listens at the server's address"


@pytest.mark.parametrize("stage", ["TCP", "TCP, unbound", "DNS", "TLS"])
async def test_an_attempt_that_was_given_up_leaves_no_thread(
    server: LocalServer, stage: str
) -> None:
    """Wherever it hangs: who stops the agent waits for none of its budgets of 10 s."""
    began = asyncio.Event()
    loop, ended = asyncio.get_running_loop(), threading.Event()
    with ExitStack() as stack:
        deaf = stack.enter_context(deaf_port())
        mute = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        mute.bind((HOST, 0))
        waits = stack.enter_context(socket.create_server((HOST, 0)))
        line = Line("a", LineKind.FIXED, "lo", families=(4,), resolvers=(HOST,) * 3)
        bound = connect_over(line, dns_port=mute.getsockname()[1])
        over = open_socket if stage == "TCP, unbound" else bound
        port = waits.getsockname()[1] if stage == "TLS" else deaf
        endpoint = Endpoint("mqtts", "a.example" if stage == "DNS" else HOST, port)

        def make(host: str, port: int, watch: Watch) -> socket.socket:
            try:
                loop.call_soon_threadsafe(began.set)
                return over(host, port, watch)
            finally:
                ended.set()

        client = LineClient(endpoint, tls=_tls(server), identifier="x", make_socket=make)
        attempt = asyncio.create_task(client.__aenter__())
        await began.wait()
        await asyncio.sleep(0.1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        async with asyncio.timeout(5):
            await asyncio.to_thread(ended.wait)
            await loop.shutdown_default_executor()


async def test_an_attempt_that_was_given_up_cannot_connect_later(server: LocalServer) -> None:
    """A slow line that answers after the cancel finds its socket closed."""
    opening, go_on = threading.Event(), threading.Event()
    made: list[socket.socket] = []

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        opening.set()
        go_on.wait(120)
        made.append(socket.create_connection((host, port)))
        return made[0]

    client = LineClient(server.mqtts, tls=_tls(server), identifier="x", make_socket=make)
    attempt = asyncio.create_task(client.__aenter__())
    await asyncio.to_thread(opening.wait, 120)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    go_on.set()
    async with asyncio.timeout(120):
        while not made or made[0].fileno() != -1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_damaged_files_say_to_enrol_again(tmp_path: Path) -> None:
    """Not a traceback of OpenSSL."""
    _, pair = Authority.create()
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("damaged")
    with pytest.raises(MalformedError, match="enrol the probe again with a new token"):
        tls_context(
            authority_pem=pair.certificate_pem.decode(),
            certificate=tmp_path / "tls.crt",
            key=tmp_path / "tls.key",
        )


def _tls(server: LocalServer) -> ssl.SSLContext:
    return tls_context(
        authority_pem=server.layout.authority_certificate.read_text(),
        certificate=server.layout.certificate("server"),
        key=server.layout.key("server"),
    )


async def test_a_cancellation_that_meets_the_answer_is_not_lost() -> None:
    """Whoever ends the task waits for its end; a library that swallows it would have us hang."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(
        LineClient(
            Endpoint("mqtts", "127.0.0.1", 1), tls=ssl.create_default_context(), identifier="x"
        )._wait_for(answer, None)
    )
    await asyncio.sleep(0)
    answer.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
