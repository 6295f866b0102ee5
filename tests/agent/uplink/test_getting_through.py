"""What stands in the way to the server, one stage after the other, and what gets past it."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest

from linewatch_agent.lines import connect
from linewatch_agent.lines.connect import connect_over
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.connect_problem import connect_problem
from linewatch_agent.mqtt.fleet_tls import RELEASED_S, tls_context
from linewatch_agent.mqtt.opening import MakeSocket, Watch, open_socket
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.uplink.way_order import Way
from tests.agent.lines.test_connect import line as loopback_line
from tests.support.broker import HOST, LocalServer, running_server
from tests.support.hostile import (
    FakeBroker,
    Interceptor,
    broker_tls,
    dated,
    deaf_port,
    serving,
    silence,
    trickle,
)
from tests.support.names import name_server
from tests.support.uplinks import scene

LATE = "no answer in time: "
YEAR = timedelta(days=365)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


async def told(
    server: LocalServer,
    endpoint: Endpoint,
    *,
    make_socket: MakeSocket = open_socket,
    budget_s: float = 5.0,
    floor_s: float = RELEASED_S,
) -> str:
    """Return what a client is told of an endpoint, or `welcome`."""
    tls = tls_context(
        authority_pem=server.layout.authority_certificate.read_text(),
        certificate=server.layout.certificate("server"),
        key=server.layout.key("server"),
        floor_s=floor_s,
    )
    client = LineClient(
        endpoint, tls=tls, identifier="x", make_socket=make_socket, budget_s=budget_s
    )
    try:
        async with asyncio.timeout(30), client:
            return "welcome"
    except aiomqtt.MqttError as error:
        return connect_problem(error)


# --- tarpits: each stage has its own time ----------------------------------------


async def test_a_look_up_that_hangs_is_given_up(server: LocalServer) -> None:
    """The thread that hangs in it is left behind."""
    go_on = threading.Event()

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        go_on.wait(30)
        raise OSError("too late")

    said = await told(server, server.mqtts, make_socket=make, budget_s=0.1)
    go_on.set()
    assert said == LATE + "no connection"


def test_silent_name_servers_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six questions of 3 s each would be 18 s: after 10 s the next way is due."""
    monkeypatch.setattr(connect, "LOOKUP_S", 0.5)
    monkeypatch.setattr(connect, "BUDGET_S", 1.9)
    with ExitStack() as stack:
        asked = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(3)]
        asked[0].bind(("127.0.0.21", 0))
        port = asked[0].getsockname()[1]
        for number, sock in enumerate(asked[1:], start=22):
            sock.bind((f"127.0.0.{number}", port))
        line = loopback_line(resolvers=tuple(sock.getsockname()[0] for sock in asked))
        with pytest.raises(OSError, match="no address here"):
            connect_over(line, dns_port=port)("localhost", 1)
        questions = 0
        for sock in asked:
            sock.setblocking(False)
            with suppress(BlockingIOError):
                while sock.recv(512):
                    questions += 1
    assert questions == 3


async def test_a_port_that_drops_is_given_up(server: LocalServer) -> None:
    """As behind a firewall that answers nothing."""
    with deaf_port() as port:
        said = await told(server, Endpoint("mqtts", HOST, port), budget_s=0.2)
    assert said == LATE + "no connection"


@pytest.mark.parametrize("what", ["silent", "trickling"])
async def test_a_tls_tarpit_is_given_up(server: LocalServer, what: str) -> None:
    """One that accepts and says nothing, and one that says a long ServerHello bit by bit."""
    hello = trickle(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", after_first_read=True)
    async with serving(silence if what == "silent" else hello) as port:
        said = await told(server, Endpoint("mqtts", HOST, port), budget_s=1.0)
    assert said == LATE + "connected, but TLS was not answered"


@pytest.mark.parametrize("what", ["silent", "trickling"])
async def test_a_websocket_tarpit_is_given_up(server: LocalServer, what: str) -> None:
    """TLS is real there; the answer to the upgrade never ends, or never begins."""
    page = trickle(b"HTTP/1.1 101 Switching Protocols\r\nX: ", after_first_read=True)
    tls = broker_tls(server)
    async with serving(silence if what == "silent" else page, tls=tls) as port:
        said = await told(server, Endpoint("wss", HOST, port), budget_s=1.0)
    assert said == LATE + "connected, but WebSocket was not answered"


@pytest.mark.parametrize("what", ["silent", "trickling"])
async def test_a_connack_tarpit_is_given_up(server: LocalServer, what: str) -> None:
    """A broker that never says whether we are welcome."""
    packet = trickle(b"\x20\xff\xff\x7f", after_first_read=True)
    tls = broker_tls(server)
    async with serving(silence if what == "silent" else packet, tls=tls) as port:
        said = await told(server, Endpoint("mqtts", HOST, port), budget_s=1.0)
    assert said == LATE + "connected, but MQTT was not answered"


async def test_who_speaks_first_is_not_a_broker(server: LocalServer) -> None:
    """Also behind the right certificate: MQTT begins with the client."""
    chatter = trickle(b"\0\0\0\0", after_first_read=False)
    async with serving(chatter, tls=broker_tls(server)) as port:
        said = await told(server, Endpoint("mqtts", HOST, port))
    assert said == "what answered does not speak MQTT: ask the operator"


# --- impostors ---------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_intercepted_tls_is_refused_and_said(server: LocalServer, scheme: str) -> None:
    """Another authority's certificate for the right name: not a byte of MQTT, not who we are."""
    middle = Interceptor(server)
    middle.tls.verify_mode = ssl.CERT_OPTIONAL  # ask for the client's certificate, take any
    async with middle.listening() as port:
        said = await told(server, Endpoint(scheme, HOST, port))  # type: ignore[arg-type]
    assert said == "somebody else answered in the server's place"
    assert (middle.connections, middle.read) == (1, b"")


async def test_poisoned_dns_is_got_past_by_the_address_beside_the_name(
    server: LocalServer, tmp_path: Path
) -> None:
    """The liar's address is tried and found out; the pinned one is checked for the name."""
    middle = Interceptor(server)
    port = server.mqtts.port
    async with middle.listening(host="127.0.0.9", port=port):
        with name_server({"A": ["127.0.0.9"]}) as (dns_port, _):
            make = connect_over(loopback_line(families=(4,)), dns_port=dns_port)
            named = Way(Endpoint("mqtts", "localhost", port), "fixed-1", make)
            pinned = Way(Endpoint("mqtts", "localhost", port, HOST), "fixed-1", make)
            async with scene(server, tmp_path, [named, pinned]) as here:
                here.start()
                await here.until(lambda: here.uplink.state.connected)
                assert here.uplink.state.endpoint == str(pinned.endpoint)
    assert (middle.connections, middle.read) == (1, b"")


async def test_where_the_server_was_met_before_is_tried_when_dns_begins_to_lie(
    server: LocalServer, tmp_path: Path
) -> None:
    """Nobody had to pin an address: the probe remembers it, also over a restart."""
    middle = Interceptor(server)
    port = server.mqtts.port
    truth = {"A": [HOST]}
    async with middle.listening(host="127.0.0.9", port=port):
        with name_server(truth) as (dns_port, _):
            make = connect_over(loopback_line(families=(4,)), dns_port=dns_port)
            named = Way(Endpoint("mqtts", "localhost", port), "fixed-1", make)
            async with scene(server, tmp_path, [named]) as here:
                here.start()
                await here.until(here.statuses)
                await here.say(0)
                await here.until(lambda: here.backend.kept)
                kept = here.backend.kept
            truth["A"] = ["127.0.0.9"]
            (tmp_path / "later").mkdir()
            async with scene(server, tmp_path / "later", [named], kept=kept) as here:
                here.start()
                await here.until(lambda: here.uplink.state.connected)
                assert here.uplink.state.endpoint == f"mqtts://localhost:{port}?at={HOST}"
                assert here.uplink.state.attempts == 2
    assert middle.connections == 1


# --- clocks ------------------------------------------------------------------------
#
# A certificate that begins in 2080 is to a right clock what one of 2020 is to a clock
# at 1970; one that ended years ago is what one of 2030 is to a clock that is ten years
# fast. So real certificates stand for wrong clocks, which no test may set.


@asynccontextmanager
async def broker_dated(
    server: LocalServer, *, begins: datetime, ends: datetime
) -> AsyncIterator[Endpoint]:
    """Yield a broker that takes everybody, with a certificate of those dates."""
    tls = broker_tls(server, dated(server, begins=begins, ends=ends))
    async with serving(FakeBroker(speaks=5).serve, tls=tls) as port:
        yield Endpoint("mqtts", HOST, port)


async def test_a_clock_of_1970_gets_through(server: LocalServer) -> None:
    """By that clock no certificate has begun; nobody but the server can set it right."""
    begins = datetime(2080, 1, 1, tzinfo=UTC)
    async with broker_dated(server, begins=begins, ends=begins + YEAR) as endpoint:
        assert await told(server, endpoint) == "welcome"


async def test_a_clock_ten_years_fast_gets_through(server: LocalServer) -> None:
    """By that clock the certificate has ended; nothing that can be trusted says so."""
    now = datetime.now(UTC)
    async with broker_dated(server, begins=now - 9 * YEAR, ends=now - 4 * YEAR) as endpoint:
        floor_s = (now - 5 * YEAR).timestamp()
        assert await told(server, endpoint, floor_s=floor_s) == "welcome"


async def test_a_certificate_that_ended_before_a_known_moment_is_refused(
    server: LocalServer,
) -> None:
    """Whatever this machine's clock says: that moment is past."""
    ends = datetime.fromtimestamp(RELEASED_S, UTC) - timedelta(days=1)
    async with broker_dated(server, begins=ends - YEAR, ends=ends) as endpoint:
        expected = "the server's certificate has expired: ask the operator"
        assert await told(server, endpoint) == expected


async def test_dates_are_checked_without_a_socket_of_ours_too(server: LocalServer) -> None:
    """Whoever gives the context to asyncio is no less protected."""
    tls = tls_context(
        authority_pem=server.layout.authority_certificate.read_text(),
        certificate=server.layout.certificate("server"),
        key=server.layout.key("server"),
    )
    _, writer = await asyncio.open_connection(HOST, server.mqtts.port, ssl=tls)
    writer.transport.abort()
    ends = datetime.fromtimestamp(RELEASED_S, UTC) - timedelta(days=1)
    async with broker_dated(server, begins=ends - YEAR, ends=ends) as endpoint:
        with pytest.raises(ssl.SSLCertVerificationError, match="it has expired"):
            await asyncio.open_connection(HOST, endpoint.port, ssl=tls)


async def test_the_time_of_a_signed_ack_is_what_counts_from_then_on(
    server: LocalServer, tmp_path: Path
) -> None:
    """What was good before the server told the time is refused after it, over a restart too."""
    async with scene(server, tmp_path, [Way(server.mqtts, None, open_socket)]) as here:
        here.start()
        await here.until(here.statuses)
        later_ms = int(datetime(2031, 5, 1, tzinfo=UTC).timestamp() * 1000)
        await here.say(0, server_ms=later_ms, server_error_ms=1000)
        await here.until(lambda: here.backend.kept)
        kept = here.backend.kept
    (tmp_path / "later").mkdir()
    ends = datetime(2031, 4, 1, tzinfo=UTC)
    async with broker_dated(server, begins=ends - YEAR, ends=ends) as endpoint:
        ways = [Way(endpoint, None, open_socket)]
        async with scene(server, tmp_path / "later", ways, kept=kept) as here:
            here.start()
            await here.until(lambda: here.uplink.state.problem)
            assert "certificate has expired" in str(here.uplink.state.problem)


# --- the port of HTTPS -------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "spoken"), [("mqtts", "mqtt"), ("wss", "http/1.1")])
async def test_on_443_the_handshake_says_what_follows(
    server: LocalServer, scheme: str, spoken: str
) -> None:
    """One address may serve a website there, and MQTT beside it."""
    heard: list[object] = []
    tls = broker_tls(server)
    tls.set_alpn_protocols(["h2", "http/1.1", "mqtt"])

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())

    async with serving(serve, tls=tls, host="127.0.0.77", port=443):
        await told(server, Endpoint(scheme, HOST, 443, "127.0.0.77"))  # type: ignore[arg-type]
    assert heard == [spoken]


def test_elsewhere_it_says_nothing() -> None:
    """Whoever listens need not be told more than the port does."""
    assert Endpoint("mqtts", "a.example", 8883).alpn == []
