"""A real Mosquitto: who gets in, who may say what, and what revocation does."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiomqtt
import pytest

from linewatch_agent.mqtt.connect_problem import connect_problem
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_core.ids import ProbeId
from linewatch_core.sync import topics
from linewatch_server.broker.files import (
    access_list,
    broker_pid,
    configuration_path,
    load_authority,
    pid_path,
    restart_broker,
    write_broker_files,
)
from linewatch_server.broker.process import BrokerProcess
from linewatch_server.fleet import enrolment
from linewatch_server.fleet.pki import Authority, KeyPair
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout, SetupError, load_settings
from tests.support.broker import (
    LocalServer,
    free_ports,
    init_server,
    received,
    running_server,
    utc_now,
)

END = "lw/1/end"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


def _write(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    (folder / "x.crt").write_bytes(pair.certificate_pem)
    (folder / "x.key").write_bytes(pair.key_pem)
    return folder / "x.crt", folder / "x.key"


async def _problem(server: LocalServer, files: tuple[Path, Path], endpoint: Endpoint) -> str:
    """Return what a client with these files is told, or `welcome`."""
    try:
        async with server.client(*files, endpoint=endpoint):
            return "welcome"
    except aiomqtt.MqttError as error:
        return connect_problem(error)


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_a_probe_writes_and_reads_its_own_topics_only(
    server: LocalServer, tmp_path: Path, scheme: str
) -> None:
    """Over both transports: its own up, status and down pass; nobody else's do."""
    me = await server.enrol_probe(tmp_path / "me")
    other = await server.enrol_probe(tmp_path / "other")
    endpoint = server.mqtts if scheme == "mqtts" else server.wss
    own = [f"lw/1/{me.probe}/{leaf}" for leaf in ("status", "up/raw", "up/keys", "reported")]
    foreign = [
        f"lw/1/{me.probe}/down/ack",
        f"lw/1/{other.probe}/up/raw",
        f"lw/1/{other.probe}/status",
        "lw/1/server/up/raw",
        "else/where",
        "$SYS/broker/x",
    ]
    async with server.client() as everything, server.probe_client(me, endpoint=endpoint) as probe:
        await everything.subscribe("#", qos=1)
        await probe.subscribe("#", qos=1)
        for topic in own + foreign:
            await probe.publish(topic, b"x", qos=1)
        await everything.publish(f"lw/1/{other.probe}/down/ack", b"not yours", qos=1)
        await everything.publish(f"lw/1/{me.probe}/down/ack", b"yours", qos=1)
        await everything.publish(f"lw/1/{me.probe}/down/end", b"", qos=1)
        seen = await received(everything, until=f"lw/1/{me.probe}/down/end")
        assert [topic for topic, _ in seen if "/down/" not in topic] == own
        heard = await received(probe, until=f"lw/1/{me.probe}/down/end")
        assert heard == [(f"lw/1/{me.probe}/down/ack", b"yours")]


async def test_an_open_token_can_only_enrol(server: LocalServer, tmp_path: Path) -> None:
    """The certificate in a token file reaches no probe's topics."""
    probe = await server.enrol_probe(tmp_path / "probe")
    pair = load_authority(server.layout).issue_client("t-" + "a" * 16)
    async with server.client() as everything, server.client(*_write(tmp_path, pair)) as token:
        await everything.subscribe("lw/1/#", qos=1)
        await token.subscribe("lw/1/#", qos=1)
        await token.publish(f"lw/1/{probe.probe}/up/raw", b"x", qos=1)
        await token.publish(topics.enrol_request("t-" + "a" * 16), b"ask", qos=1)
        await everything.publish(f"lw/1/{probe.probe}/down/ack", b"x", qos=1)
        await everything.publish(topics.enrol_reply("t-" + "a" * 16), b"answer", qos=1)
        await everything.publish(END, b"", qos=1)
        seen = await received(everything, until=END)
        assert (topics.enrol_request("t-" + "a" * 16), b"ask") in seen
        assert f"lw/1/{probe.probe}/up/raw" not in dict(seen)
        async for message in token.messages:
            assert message.payload == b"answer"
            break


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_certificates_of_others_are_refused(
    server: LocalServer, tmp_path: Path, scheme: str
) -> None:
    """Another fleet's certificate and an expired one do not get in, over either transport."""
    endpoint = server.mqtts if scheme == "mqtts" else server.wss
    foreign, _ = Authority.create()
    cases = {
        "foreign": foreign.issue_client("server"),
        "expired": load_authority(server.layout).issue_client(
            "server", not_after=utc_now() - timedelta(seconds=1)
        ),
        "good": load_authority(server.layout).issue_client("server"),
    }
    told = {
        name: await _problem(server, _write(tmp_path, pair), endpoint)
        for name, pair in cases.items()
    }
    assert told["good"] == "welcome"
    assert told["foreign"] == "the server refused this probe's certificate: ask for a new token"
    assert told["expired"] == "this probe's certificate has expired: ask for a new token"


async def test_after_a_revocation_nothing_of_the_probe_passes(
    server: LocalServer, tmp_path: Path
) -> None:
    """The connected probe is cut off; it does not get in again, or in and nothing through."""
    gone = await server.enrol_probe(tmp_path / "gone")
    stays = await server.enrol_probe(tmp_path / "stays")
    old = server.broker.pid
    async with server.probe_client(gone) as connected:
        assert await asyncio.to_thread(
            enrolment.revoke, server.layout.directory, probe=gone.probe, now=utc_now()
        ) == (server.registry.probe(gone.probe), True)
        with pytest.raises(aiomqtt.MqttError):
            async with asyncio.timeout(60):
                await anext(connected.messages)
    assert not server.registry.is_live(gone.probe)
    await _until_up(server, old=old)
    async with server.client() as everything:
        await everything.subscribe("lw/1/#", qos=1)
        told = await _problem(server, (gone.certificate_path, gone.key_path), server.mqtts)
        assert told == "this probe's certificate was revoked: ask for a new token"
        # Mosquitto does not give its WebSocket listener the revocation list.
        async with server.probe_client(gone, endpoint=server.wss) as probe:
            await probe.subscribe("#", qos=1)
            await probe.publish(f"lw/1/{gone.probe}/up/raw", b"x", qos=1)
            await everything.publish(f"lw/1/{gone.probe}/down/ack", b"secret", qos=1)
            async with server.probe_client(stays, endpoint=server.wss) as other:
                await other.publish(f"lw/1/{stays.probe}/up/raw", b"y", qos=1)
            await everything.publish(END, b"", qos=1)
            seen = await received(everything, until=END)
            assert len(probe.messages) == 0
    assert [topic for topic, _ in seen if "/up/" in topic] == [f"lw/1/{stays.probe}/up/raw"]


async def _until_up(server: LocalServer, *, old: int | None) -> None:
    async with asyncio.timeout(60):
        while server.broker.pid == old or not server.broker.ready.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_retained_status_survives_a_restart(server: LocalServer, tmp_path: Path) -> None:
    """What a restart on revocation must not cost: the last words of all other probes."""
    probe = await server.enrol_probe(tmp_path / "probe")
    async with server.probe_client(probe) as client:
        await client.publish(topics.status(probe.probe), b"online", qos=1, retain=True)
    before = server.broker.pid
    assert await asyncio.to_thread(restart_broker, server.layout)
    await _until_up(server, old=before)
    async with server.client() as everything:
        await everything.subscribe(topics.ALL_STATUS, qos=1)
        message = await anext(everything.messages)
    assert (str(message.topic), message.payload) == (topics.status(probe.probe), b"online")


async def test_the_log_names_no_address(server: LocalServer, tmp_path: Path) -> None:
    """Neither good nor bad connections leave where they came from."""
    foreign, _ = Authority.create()
    await server.enrol_probe(tmp_path / "probe")
    files = _write(tmp_path, foreign.issue_client("server"))
    for endpoint in (server.mqtts, server.wss):
        assert await _problem(server, files, endpoint) != "welcome"
    with socket.create_connection((server.mqtts.host, server.mqtts.port)) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            raw.recv(100)
    log = server.layout.broker / "log"
    while not log.exists():  # noqa: ASYNC110  (a client may be refused before Mosquitto says so)
        await asyncio.sleep(0.02)
    await server.broker.stop()
    text = log.read_text()
    assert "OpenSSL Error" in text
    assert "127.0.0.1" not in text


async def test_a_taken_port_is_named_with_its_key(tmp_path: Path) -> None:
    """Which port, and where to change it."""
    layout = init_server(tmp_path / "s")
    broker = BrokerProcess(layout.directory)
    with (
        socket.create_server(("127.0.0.1", broker.settings.broker.wss_port)),
        pytest.raises(SetupError) as caught,
    ):
        await broker.start()
    port = broker.settings.broker.wss_port
    assert str(caught.value) == (
        f"cannot listen: port {port} is taken by another program; stop that program or change "
        f"broker.wss_port in {layout.settings}"
    )


async def test_mosquittos_own_complaint_is_passed_on(tmp_path: Path) -> None:
    """A damaged certificate is said in Mosquitto's words, in one line."""
    layout = init_server(tmp_path / "s")
    layout.certificate("broker").write_text("damaged")
    with pytest.raises(SetupError, match=r"cannot start the broker: .*Error") as caught:
        await BrokerProcess(layout.directory).start()
    assert "\n" not in str(caught.value)


async def test_a_missing_mosquitto_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most likely trouble of a first start."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    layout = init_server(tmp_path / "s")
    with pytest.raises(SetupError, match="run: sudo apt-get install mosquitto"):
        await BrokerProcess(layout.directory).start()


async def test_run_starts_a_killed_broker_again(tmp_path: Path) -> None:
    """A crash of the broker is not the end of the server, and a cancel ends both."""
    broker = BrokerProcess(init_server(tmp_path / "s").directory)
    task = asyncio.create_task(broker.run())
    try:
        async with asyncio.timeout(60):
            await broker.ready.wait()
            first = broker.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            while broker.ready.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await broker.ready.wait()
        second = broker.pid
        assert second not in {None, first}
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert broker_pid(broker.layout) is None


async def test_a_leftover_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    """The ports that our own old broker holds are not "taken by another program"."""
    layout = init_server(tmp_path / "s")
    old, new = BrokerProcess(layout.directory), BrokerProcess(layout.directory)
    await old.start()
    try:
        await new.start()
        assert broker_pid(layout) == new.pid != old.pid
        assert "exit code 0" in await old.wait()
    finally:
        await old.stop()
        await new.stop()


def test_another_program_with_the_brokers_old_pid_is_left_alone(tmp_path: Path) -> None:
    """A stale pid file kills nobody."""
    layout = init_server(tmp_path / "s")
    pid_path(layout).write_text(str(os.getpid()))
    assert broker_pid(layout) is None
    assert not restart_broker(layout)


def test_the_access_list_denies_the_revoked_before_the_patterns() -> None:
    """A deny counts only in a user's own block."""
    assert access_list([ProbeId("a" * 16)]) == (
        "user server\ntopic readwrite lw/1/#\n\n"
        "user aaaaaaaaaaaaaaaa\ntopic deny #\n\n"
        "pattern write lw/1/%u/status\npattern write lw/1/%u/reported\n"
        "pattern write lw/1/%u/up/#\npattern read lw/1/%u/down/#\n"
    )


def test_a_server_without_websocket_has_one_listener(tmp_path: Path) -> None:
    """`wss_port = 0` leaves nothing to listen there."""
    layout = init_server(tmp_path / "s")
    text = layout.settings.read_text()
    layout.settings.write_text(
        "\n".join("wss_port = 0" if "wss_port" in t else t for t in text.splitlines())
    )
    write_broker_files(layout, load_settings(layout.directory), Registry(layout.registry))
    configuration = configuration_path(Layout(layout.directory)).read_text()
    assert configuration.count("\nlistener ") == 1
    assert "websockets" not in configuration


@pytest.mark.parametrize("count", [1, 3])
def test_free_ports_are_different(count: int) -> None:
    """The helper of these tests gives no port twice."""
    assert len(set(free_ports(count))) == count
