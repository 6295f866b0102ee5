"""A real Mosquitto on free loopback ports, from a directory that `init` made.

Mosquitto missing fails the test with how to install it. What is started here is
stopped here; Debian's own service is never touched.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt

from linewatch_agent.identity import enrol as agent_enrol
from linewatch_agent.identity.identity import Identity, load_identity
from linewatch_agent.mqtt.client import LineClient, Version
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_core.sync import topics
from linewatch_server.broker.files import broker_pid, load_authority
from linewatch_server.broker.process import BrokerProcess
from linewatch_server.fleet import enrolment
from linewatch_server.fleet.registry import Registry
from linewatch_server.init import init
from linewatch_server.settings import Layout

HOST = "127.0.0.1"
_BLOCK_PORTS = 1_000
_locks: list[socket.socket] = []
"""Held until the process ends."""


def free_ports(count: int) -> list[int]:
    """Return TCP ports of loopback that nobody listens on, and that nobody is about to take.

    They lie below those that the kernel gives out, and in a block of this process alone.
    """
    ports = _own_ports()
    return [next(port for port in ports if _is_free(port)) for _ in range(count)]


@functools.cache
def _own_ports() -> Iterator[int]:
    """Return this process's ports, one after the other, again and again."""
    for first in range(10_000, 32_000, _BLOCK_PORTS):
        # A name that only one process has, and that goes with it; of its network namespace,
        # as ports are.
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0linewatch-tests-ports-{first}")
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return itertools.cycle(range(first, first + _BLOCK_PORTS))
    raise RuntimeError("cannot choose ports: all blocks are taken by other runs of the tests")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
            sock.listen(1)
        except OSError:
            return False
    return True


def init_server(directory: Path) -> Layout:
    """Init a server whose broker listens on free loopback ports."""
    mqtts_port, wss_port, web_port = free_ports(3)
    return init(
        directory,
        host=HOST,
        bind=HOST,
        mqtts_port=mqtts_port,
        wss_port=wss_port,
        web_port=web_port,
    )


@dataclass(slots=True)
class LocalServer:
    """A server's directory and its running broker."""

    layout: Layout
    broker: BrokerProcess
    mqtts: Endpoint
    wss: Endpoint
    registry: Registry

    def client(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        *,
        endpoint: Endpoint | None = None,
        budget_s: float = 30.0,
    ) -> LineClient:
        """Return a client with a certificate, by default the server's own."""
        tls = tls_context(
            authority_pem=self.layout.authority_certificate.read_text(),
            certificate=certificate or self.layout.certificate("server"),
            key=key or self.layout.key("server"),
        )
        identifier = secrets.token_hex(8)
        # Of 3.1.1: what it publishes against the access list vanishes without a word.
        return LineClient(
            endpoint or self.mqtts,
            tls=tls,
            identifier=identifier,
            budget_s=budget_s,
            version=Version.V311,
        )

    def probe_client(self, identity: Identity, *, endpoint: Endpoint | None = None) -> LineClient:
        """Return a client with an enrolled probe's certificate."""
        return self.client(identity.certificate_path, identity.key_path, endpoint=endpoint)

    def write_token(self, path: Path, *, label: str = "a probe") -> Path:
        """Register a probe and write its token file."""
        path.write_text(enrolment.enrol(self.layout.directory, label=label, now=utc_now()))
        return path

    async def enrol_probe(self, state: Path) -> Identity:
        """Enrol a probe the way a person would, over this broker."""
        token = self.write_token(state.with_name(f"{state.name}.token.toml"))
        async with self.answering():
            await agent_enrol.enrol(token, state)
        return load_identity(state)

    def kill_broker(self) -> None:
        """Kill the broker; it is started again by itself, as on a server."""
        pid = broker_pid(self.layout)
        assert pid is not None, "the broker does not run"
        os.kill(pid, signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer enrolment requests, as the server's ingest does."""
        authority = load_authority(self.layout)
        async with self.client() as client:
            await client.subscribe(topics.ALL_ENROL, qos=1)

            async def answer() -> None:
                async for message in client.messages:
                    token = topics.parse(str(message.topic)).client
                    assert isinstance(message.payload, bytes)
                    reply = enrolment.answer(
                        message.payload,
                        token=token,
                        registry=self.registry,
                        authority=authority,
                        now=utc_now(),
                    )
                    await client.publish(topics.enrol_reply(token), reply, qos=1)

            task = asyncio.create_task(answer())
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@contextlib.asynccontextmanager
async def running_server(directory: Path) -> AsyncIterator[LocalServer]:
    """Init a server in `directory`, run its broker, and stop it at the end."""
    layout = init_server(directory)
    broker = BrokerProcess(directory)
    await broker.start()
    supervised = asyncio.create_task(broker.keep())
    try:
        yield _handles(layout, broker)
    finally:
        supervised.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await supervised
        await broker.stop()


def _handles(layout: Layout, broker: BrokerProcess) -> LocalServer:
    """Return the handles of a server whose broker runs."""
    settings = broker.settings.broker
    return LocalServer(
        layout=layout,
        broker=broker,
        mqtts=Endpoint("mqtts", HOST, settings.mqtts_port),
        wss=Endpoint("wss", HOST, settings.wss_port),
        registry=Registry(layout.registry),
    )


async def received(
    client: LineClient, *, until: str, timeout_s: float = 120.0
) -> list[tuple[str, bytes]]:
    """Return (topic, payload) of what arrives before a message on the topic `until`."""
    found: list[tuple[str, bytes]] = []
    async with asyncio.timeout(timeout_s):
        async for message in client.messages:
            if str(message.topic) == until:
                return found
            assert isinstance(message.payload, bytes)
            found.append((str(message.topic), message.payload))
    raise aiomqtt.MqttError("the broker hung up")


def utc_now() -> datetime:
    """Return the time; certificates are checked against the real clock."""
    return datetime.now(UTC)
