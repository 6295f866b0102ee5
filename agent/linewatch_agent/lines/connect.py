"""A connected TCP socket over one line, for the uplink: blocking, for use in a thread.

The broker's name is asked at the line's own name servers, so that a dead
default line does not take the others down with it. Source: docs/decisions/0014.
"""

import contextlib
import ipaddress
import secrets
import select
import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

from linewatch_agent import clock
from linewatch_agent.dns_message import make_query, read_reply
from linewatch_agent.line_socket import AF, line_socket, sockaddr
from linewatch_agent.plan.line import Line
from linewatch_core.errors import MalformedError

BUDGET_S = 10.0
"""For all look-ups together, and again for all connection attempts: a name with many silent
addresses must not hold up the other lines."""
LOOKUP_S = 3.0
ATTEMPT_S = 5.0
_DATAGRAM_BYTES_MAX = 65_535

_Watch: TypeAlias = Callable[[socket.socket], object]


def _unwatched(_: socket.socket) -> None:
    """Nobody will give this attempt up."""


def connect_over(line: Line, *, dns_port: int = 53) -> Callable[..., socket.socket]:
    """Return a function that connects to (host, port) by `line` only; it raises OSError.

    Its third argument, if there is one, is told each socket before it is waited on: who
    shuts that down ends the attempt.

    Args:
        dns_port: the port of name servers (tests run where 53 is taken).
    """

    def connect(host: str, port: int, watch: _Watch = _unwatched) -> socket.socket:
        error: OSError = OSError("the server's name has no address here")
        addresses = _addresses(line, host, dns_port, watch)
        until_s = clock.mono_s() + BUDGET_S
        for at, (family, address) in enumerate(addresses):
            left_s = until_s - clock.mono_s()
            if left_s <= 0:
                break
            patience_s = left_s if at == len(addresses) - 1 else min(ATTEMPT_S, left_s)
            try:
                return _connect(line.device, family, address, port, patience_s, watch=watch)
            except OSError as failed:
                error = failed
        raise error

    return connect


def _connect(
    device: str, family: int, address: str, port: int, patience_s: float, *, watch: _Watch
) -> socket.socket:
    sock = line_socket(device, AF[family], socket.SOCK_STREAM)
    try:
        sock.settimeout(patience_s)
        watch(sock)
        sock.connect(sockaddr(device, address, port))
        sock.settimeout(BUDGET_S)
    except BaseException:
        sock.close()
        raise
    return sock


def _addresses(line: Line, host: str, dns_port: int, watch: _Watch) -> Sequence[tuple[int, str]]:
    """Return the addresses of `host` in the families that the line has, as (family, address)."""
    with contextlib.suppress(ValueError):
        return [(ipaddress.ip_address(host).version, host)]
    found: list[tuple[int, str]] = []
    until_s = clock.mono_s() + BUDGET_S
    for family in line.families:
        for server in line.resolvers:
            if clock.mono_s() + LOOKUP_S > until_s:
                return found
            answers = _ask(line.device, server, dns_port, host, family, watch=watch)
            if answers:
                found += [(family, address) for address in answers]
                break
    return found


def names_resolved_by(line: Line, server: str, host: str, *, dns_port: int = 53) -> list[str]:
    """Return the addresses of `host` that one name server says over `line`; none: no answer."""
    answers = (_ask(line.device, server, dns_port, host, family) for family in line.families)
    return [address for each in answers for address in each]


def _ask(
    device: str, server: str, port: int, host: str, family: int, *, watch: _Watch = _unwatched
) -> list[str]:
    address = ipaddress.ip_address(server)
    until_s = clock.mono_s() + LOOKUP_S
    try:
        query = make_query(host, family, id=secrets.randbelow(1 << 16))
        with line_socket(device, AF[address.version], socket.SOCK_DGRAM) as sock:
            sock.connect(sockaddr(device, server, port))
            watch(sock)
            sock.send(query.wire)
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            # Not by a timeout of the socket: that would sleep through its being shut down.
            while (left_s := until_s - clock.mono_s()) > 0 and poll.poll(1000 * left_s):
                reply = read_reply(query, sock.recv(_DATAGRAM_BYTES_MAX))
                if reply is not None:
                    return list(reply.addresses)
    except (OSError, MalformedError):
        pass
    return []
