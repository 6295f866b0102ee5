"""Servers for the checks' tests: well behaved, slow, broken and hostile ones."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RESOLVER = "127.0.0.3"
"""Not 127.0.0.1, which the names lead to: a line's own resolver is kept off the record."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def stream_server(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve `handler` on a TCP port (0: a free one) and yield it; close what clients left."""
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, host, port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            # A TLS transport that is closed already can't be aborted before Python 3.11.4.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        await asyncio.sleep(0)


def http_reply(body: bytes, *, status: str = "200 OK", headers: str = "") -> Handler:
    """Return a handler that reads a request and answers it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return handle


def raw_reply(data: bytes, *, stall: bool = False) -> Handler:
    """Return a handler that reads a request, sends any bytes, then closes or stalls."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if stall:
            await asyncio.Event().wait()

    return handle


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a little, then send RST."""
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and never say a word."""
    await asyncio.Event().wait()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what comes first, then close in good order."""
    await reader.read(4096)


@contextmanager
def full_backlog() -> Iterator[int]:
    """Yield the port of a listener that lets no more handshake complete: SYNs are dropped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            yield port
        finally:
            for filler in fillers:
                filler.close()


Script = Callable[[dns.message.Message], list[tuple[float, bytes]]]
"""From a query to the datagrams to answer with, each after so many seconds."""


def silent(query: dns.message.Message) -> list[tuple[float, bytes]]:
    """Answer nothing."""
    return []


def answer(
    query: dns.message.Message,
    *addresses: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    truncated: bool = False,
) -> bytes:
    """Return a reply with these addresses."""
    reply = dns.message.make_response(query)
    reply.set_rcode(rcode)
    question = query.question[0]
    if addresses:
        reply.answer.append(
            dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *addresses)
        )
    if truncated:
        reply.flags |= dns.flags.TC
    return reply.to_wire()


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self._script = script
        self.queries: list[dns.message.Message] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.queries.append(query)
        for delay_s, reply in self._script(query):
            asyncio.get_running_loop().call_later(delay_s, self._send, reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def dns_server(
    script: Script, *, host: str = RESOLVER, port: int = 0
) -> AsyncIterator[tuple[int, list[dns.message.Message]]]:
    """Serve a script over UDP; yield the port and the queries as they come in."""
    transport, responder = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Responder(script), local_addr=(host, port)
    )
    try:
        yield transport.get_extra_info("sockname")[1], responder.queries
    finally:
        transport.close()
        await asyncio.sleep(0)


def dns_over_tcp(*addresses: str) -> Handler:
    """Return a handler that answers one DNS question over TCP."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        wire = answer(dns.message.from_wire(await reader.readexactly(size)), *addresses)
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()

    return handle


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, and a client's and a server's context made of it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate's bytes."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def server_context(self, folder: Path, *chain: "Identity") -> ssl.SSLContext:
        """Return a server's context that presents this certificate and then `chain`."""
        pem = b"".join(
            one.certificate.public_bytes(serialization.Encoding.PEM) for one in (self, *chain)
        )
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / f"{self.certificate.serial_number}.pem"
        path.write_bytes(pem + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def issue(
    name: str,
    *,
    issuer: Identity | None = None,
    days: tuple[int, int] = (-1, 1),
    address: str | None = None,
) -> Identity:
    """Return a certificate for `name`, valid from and to so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if address is not None:
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    signer = key if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return Identity(builder.sign(signer, hashes.SHA256()), key)
