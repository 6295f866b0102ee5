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
from linewatch_server.settings import Layout
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


def layout_tls(layout: Layout) -> ssl.SSLContext:
    """Return the TLS of the broker of a server's directory, whether it runs or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(layout.certificate("broker"), layout.key("broker"))
    return context


def broker_tls(server: LocalServer, pair: KeyPair | None = None) -> ssl.SSLContext:
    """Return the TLS of the real broker, or of one with another certificate."""
    if pair is None:
        return layout_tls(server.layout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
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
    """Speaks just enough MQTT, 3.1.1 or 5: refuses with a code, or takes everything.

    Attributes:
        speaks: the version that it knows, 4 (3.1.1) or 5.
        unknown: what it sends before it hangs up on a CONNECT of the other version.
        connack: the code of CONNACK; suback: of SUBACK (0x80 refuses); puback: of PUBACK, for
            topics that end with `refuses`; disconnect: instead of that PUBACK, if not None.
        properties: of MQTT 5's CONNACK.
        seen: the topics published, which go nowhere.
        versions: of the CONNECTs that came.
    """

    speaks: int = 4
    unknown: bytes = b"\x20\x02\x00\x01"
    connack: int = 0
    suback: int = 1
    puback: int = 0
    disconnect: int | None = None
    refuses: str = ""
    properties: bytes = b""
    seen: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    @property
    def connects(self) -> int:
        """How many connections of its own version came."""
        return self.versions.count(self.speaks)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes or is refused."""
        goes_on = True
        while goes_on:
            kind, body = await _packet(reader)
            answer, goes_on = self._answer(kind, body)
            writer.write(answer)
            await writer.drain()

    def _answer(self, kind: int, body: bytes) -> tuple[bytes, bool]:
        """Return what is answered to a packet, and whether the connection goes on."""
        is_5 = self.speaks == 5
        none = b"\0" if is_5 else b""
        match kind >> 4:
            case 1:
                self.versions.append(body[6])
                if body[6] != self.speaks:
                    return self.unknown, False
                told = bytes([len(self.properties)]) + self.properties if is_5 else b""
                return _with_length(0x20, bytes([0, self.connack]) + told), not self.connack
            case 8:
                return _with_length(0x90, body[:2] + none + bytes([self.suback])), True
            case 3:
                return self._answer_publish(kind, body)
            case 12:
                return b"\xd0\0", True
        return b"", True

    def _answer_publish(self, kind: int, body: bytes) -> tuple[bytes, bool]:
        length = int.from_bytes(body[:2])
        topic = body[2 : 2 + length].decode()
        self.seen.append(topic)
        if not kind & 6:
            return b"", True
        is_refused = topic.endswith(self.refuses)
        if is_refused and self.disconnect is not None:
            return bytes([0xE0, 1, self.disconnect]), False
        code = bytes([self.puback]) if is_refused and self.puback else b""
        return _with_length(0x40, body[2 + length : 4 + length] + code), True


def _with_length(kind: int, body: bytes) -> bytes:
    """Return a packet of fewer than 128 bytes."""
    return bytes([kind, len(body)]) + body


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
