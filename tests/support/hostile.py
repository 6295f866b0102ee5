"""What stands between a probe and its server: tarpits, impostors, brokers that refuse.

All on loopback, over TLS with the real broker's certificate where it must be the real
one's, and each at one stage of the way only.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from linewatch_server.broker.files import load_authority
from linewatch_server.fleet.pki import Authority, KeyPair
from tests.support.broker import HOST, LocalServer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a port where a connection is never accepted, as behind a filter that drops."""
    with socket.create_server((HOST, 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(8):  # fills the queue of connections
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@asynccontextmanager
async def serving(
    serve: Serve, *, tls: ssl.SSLContext | None = None, host: str = HOST, port: int = 0
) -> AsyncIterator[int]:
    """Yield the port of a server that does `serve` with each connection, and hangs up after it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and never answer."""
    while await reader.read(4096):
        pass


def trickle(begin: bytes, *, after_first_read: bool) -> Serve:
    """Answer plausibly, one byte at a time, for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after_first_read:
            await reader.read(4096)
        for byte in begin:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    return serve


def broker_tls(server: LocalServer, pair: KeyPair | None = None) -> ssl.SSLContext:
    """Return the TLS of the real broker, or of one with another certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if pair is None:
        context.load_cert_chain(server.layout.certificate("broker"), server.layout.key("broker"))
        return context
    folder = server.layout.directory.parent
    (folder / "other.crt").write_bytes(pair.certificate_pem)
    (folder / "other.key").write_bytes(pair.key_pem)
    context.load_cert_chain(folder / "other.crt", folder / "other.key")
    return context


def dated(server: LocalServer, *, begins: datetime, ends: datetime) -> KeyPair:
    """Return a certificate of the fleet's authority for the broker, valid at other times."""
    pair = load_authority(server.layout).issue_broker([HOST])
    old = x509.load_pem_x509_certificate(pair.certificate_pem)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    key = serialization.load_pem_private_key(server.layout.authority_key.read_bytes(), None)
    signed = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return KeyPair(signed.public_bytes(serialization.Encoding.PEM), pair.key_pem)


@dataclass
class Interceptor:
    """Ends TLS with a certificate of its own for the right name, and passes on what it reads."""

    server: LocalServer
    tls: ssl.SSLContext = field(init=False)
    read: bytes = b""
    connections: int = 0

    def __post_init__(self) -> None:
        """Make an authority that nobody asked for."""
        authority, _ = Authority.create()
        self.tls = broker_tls(self.server, authority.issue_broker([HOST, "localhost"]))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read what the probe says in the belief that this is its server."""
        while data := await reader.read(4096):
            self.read += data

    @asynccontextmanager
    async def listening(self, *, host: str = HOST, port: int = 0) -> AsyncIterator[int]:
        """Yield the port; counts what connects, TLS or not."""

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await writer.start_tls(self.tls)
            await self.serve(reader, writer)

        async with serving(count, host=host, port=port) as bound:
            yield bound


@dataclass
class FakeBroker:
    """Speaks just enough MQTT 3.1.1: refuses with a code, or takes everything.

    Attributes:
        connack: the return code of CONNACK; suback: of SUBACK (0x80 refuses).
        seen: the topics published, which go nowhere.
    """

    connack: int = 0
    suback: int = 1
    seen: list[str] = field(default_factory=list)
    connects: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes or is refused."""
        while True:
            kind, body = await _packet(reader)
            match kind >> 4:
                case 1:
                    self.connects += 1
                    writer.write(bytes([0x20, 2, 0, self.connack]))
                case 8:
                    writer.write(bytes([0x90, 3, body[0], body[1], self.suback]))
                case 3:
                    length = int.from_bytes(body[:2])
                    self.seen.append(body[2 : 2 + length].decode())
                    if kind & 6:
                        writer.write(bytes([0x40, 2]) + body[2 + length : 4 + length])
                case 12:
                    writer.write(bytes([0xD0, 0]))
            await writer.drain()
            if self.connack:
                return


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return one control packet: its first byte and its body."""
    kind = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)
