"""One DNS question over one line, and every reply to it that comes in time.

A fresh socket per question, so that its port is random. After the first reply
the socket stays open for a while: a censor's forged answer is usually first,
and the true one follows it. A truncated reply is asked for again over TCP.
Source: RFC 1035 section 4.2, RFC 7766; Duan et al., "Hold-On" (2012).
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

from linewatch_agent.checks.arrivals import Arrivals, connect
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.dns_packets import (
    NotAReply,
    Reply,
    make_query,
    not_a_reply_failure,
    parse_reply,
)
from linewatch_agent.checks.failures import EOF, GENERIC_TIMEOUT, os_failure
from linewatch_agent.checks.link import Link
from linewatch_agent.checks.slack import LATE_S, Slack
from linewatch_agent.checks.stamps import stamp_arrivals
from linewatch_agent.dns_message import Query
from linewatch_agent.line_socket import AF, ip_version, line_socket, sockaddr
from linewatch_agent.tcp_facts import IP_HEADER_BYTES, UDP_HEADER_BYTES, tcp_facts

LISTEN_ON_S = 0.5
"""How long to listen after the first reply: longer than a round trip to another continent."""
MESSAGE_BYTES_MAX = 65_535
"""The longest that its two bytes of length can tell."""


@dataclass(frozen=True, slots=True)
class Server:
    """A name server as seen from a line."""

    device: str
    address: str
    port: int = 53

    @property
    def family(self) -> int:
        """4 or 6."""
        return ip_version(self.address)


@dataclass(slots=True)
class Heard:
    """What was heard in reply to one question.

    Attributes:
        failure: why no reply was heard, or what is wrong with the first; None if fine.
        first, first_us: the first reply, and how long it took.
        second, second_after_us: a later one that differs, and how long after the first.
        bytes_out, bytes_in: estimate, IP headers included.
    """

    failure: str | None = GENERIC_TIMEOUT
    first: Reply | None = None
    first_us: float | None = None
    second: Reply | None = None
    second_after_us: float | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    odd: set[NotAReply] = field(default_factory=set)


async def ask(
    server: Server,
    name: str,
    family: int,
    *,
    timeout_s: float,
    listen_on_s: float,
    clock: Clock,
    slack: Slack | None = None,
) -> Heard:
    """Ask `server` for the addresses of `name` in `family`; ends within `timeout_s`.

    With `slack` it listens on somewhat longer than `listen_on_s`.
    """
    heard = Heard()
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    query = make_query(name, family)
    try:
        await _ask_udp(
            server,
            query,
            heard,
            deadline_s=deadline_s,
            listen_on_s=listen_on_s,
            clock=clock,
            slack=slack,
        )
        if heard.first is not None and heard.first.truncated:
            heard.first = None
            async with asyncio.timeout_at(deadline_s):
                await _ask_tcp(server, query, heard, clock=clock)
    except OSError as error:
        heard.failure = os_failure(error)
    except asyncio.IncompleteReadError:
        heard.failure = EOF
    if heard.first is not None:
        heard.failure = heard.first.failure
    elif heard.failure == GENERIC_TIMEOUT:
        heard.failure = not_a_reply_failure(heard.odd, GENERIC_TIMEOUT)
    return heard


async def _ask_udp(
    server: Server,
    query: Query,
    heard: Heard,
    *,
    deadline_s: float,
    listen_on_s: float,
    clock: Clock,
    slack: Slack | None,
) -> None:
    with line_socket(server.device, AF[server.family], socket.SOCK_DGRAM) as sock:
        stamp_arrivals(sock)
        sock.connect(sockaddr(server.device, server.address, server.port))
        sent_ns = clock.monotonic_ns()
        sock.send(query.wire)
        heard.bytes_out += IP_HEADER_BYTES[server.family] + UDP_HEADER_BYTES + len(query.wire)
        with contextlib.closing(Arrivals(sock, clock, stamped_since_ns=sent_ns)) as arrivals:
            await _listen(
                arrivals,
                server,
                query,
                heard,
                sent_ns=sent_ns,
                deadline_s=deadline_s,
                listen_on_s=listen_on_s,
                slack=slack,
            )


async def _listen(
    arrivals: Arrivals,
    server: Server,
    query: Query,
    heard: Heard,
    *,
    sent_ns: int,
    deadline_s: float,
    listen_on_s: float,
    slack: Slack | None,
) -> None:
    """Take replies until the deadline, or until `listen_on_s` after the first."""
    loop = asyncio.get_running_loop()
    late, due_s = None, 0.0
    while True:
        try:
            at_ns, data = await arrivals.next(deadline_s=deadline_s, slack=late, due_s=due_s)
        except OSError:
            if heard.first is None:
                raise
            return  # the end of listening on, or an ICMP error after the answer
        heard_us = (at_ns - sent_ns) / 1000
        heard.bytes_in += IP_HEADER_BYTES[server.family] + UDP_HEADER_BYTES + len(data)
        reply = parse_reply(query, data)
        if isinstance(reply, NotAReply):
            heard.odd.add(reply)
        elif heard.first is None or heard.first_us is None:
            heard.first, heard.first_us = reply, heard_us
            if reply.truncated or not listen_on_s:
                return
            late, due_s = slack, loop.time() + listen_on_s
            deadline_s = min(deadline_s, due_s + (LATE_S if late else 0.0))
        elif reply.differs(heard.first):
            heard.second, heard.second_after_us = reply, heard_us - heard.first_us
            return


async def _ask_tcp(server: Server, query: Query, heard: Heard, *, clock: Clock) -> None:
    """Ask again over TCP; `first_us` becomes this question's own time, handshake included."""
    with line_socket(server.device, AF[server.family], socket.SOCK_STREAM) as sock:
        link = Link(sock, clock)
        try:
            sent_ns = clock.monotonic_ns()
            await connect(sock, sockaddr(server.device, server.address, server.port))
            reply = parse_reply(query, await ask_stream(link, query))
            if isinstance(reply, NotAReply):
                heard.odd.add(NotAReply.MALFORMED)
            else:
                heard.first = reply
                heard.first_us = (clock.monotonic_ns() - sent_ns) / 1000
        finally:
            link.close()
            facts = tcp_facts(sock)
            heard.bytes_out += facts.bytes_out
            heard.bytes_in += facts.bytes_in


async def ask_stream(link: Link, query: Query) -> bytes:
    """Send a query over a connection, plain or under TLS, and return the first message back.

    Two bytes before each tell its length (RFC 1035 section 4.2.2).

    Raises:
        OSError: the connection broke.
        asyncio.IncompleteReadError: it ended too soon.
    """
    framed = struct.pack("!H", len(query.wire)) + query.wire
    await link.send(framed, unread_bytes_max=MESSAGE_BYTES_MAX)
    data, whole = b"", 2
    while len(data) < whole:
        part = await link.read()
        if not part:
            raise asyncio.IncompleteReadError(data, whole)
        data += part
        whole = 2 + int.from_bytes(data[:2], "big") if len(data) >= 2 else 2
    return data[2:whole]
