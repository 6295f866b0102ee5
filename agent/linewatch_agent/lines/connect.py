"""A connected TCP socket over one line, for the uplink: blocking, for use in a thread.

The broker's name is asked at the line's own name servers, so that a dead
default line does not take the others down with it. Source: docs/decisions/0014.
"""

import socket
from collections.abc import Callable, Sequence

import dns.exception
import dns.inet
import dns.message
import dns.query
import dns.rdatatype

from linewatch_agent.plan.line import Line

BUDGET_S = 10.0
LOOKUP_S = 3.0
_DNS_PORT = 53
_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def connect_over(line: Line) -> Callable[[str, int], socket.socket]:
    """Return a function that connects to (host, port) by `line` only; it raises OSError."""

    def connect(host: str, port: int) -> socket.socket:
        error: OSError = OSError("the server's name has no address here")
        for family, address in _addresses(line, host):
            try:
                return _connect(line.device, family, address, port)
            except OSError as failed:
                error = failed
        raise error

    return connect


def _connect(device: str, family: int, address: str, port: int) -> socket.socket:
    sock = _bound(device, family, socket.SOCK_STREAM)
    try:
        sock.settimeout(BUDGET_S)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _addresses(line: Line, host: str) -> Sequence[tuple[int, str]]:
    """Return the addresses of `host` in the families that the line has, as (family, address)."""
    if dns.inet.is_address(host):
        return [(6 if ":" in host else 4, host)]
    found: list[tuple[int, str]] = []
    for family in line.families:
        for server in line.resolvers:
            answers = _ask(line.device, server, host, family)
            if answers:
                found += [(family, address) for address in answers]
                break
    return found


def _ask(device: str, server: str, host: str, family: int) -> list[str]:
    query = dns.message.make_query(host, _TYPES[family])
    with _bound(device, 6 if ":" in server else 4, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            reply = dns.query.udp(query, server, timeout=LOOKUP_S, port=_DNS_PORT, sock=sock)
        except (OSError, dns.exception.DNSException):
            return []
    return [
        item.address
        for answer in reply.answer
        if answer.rdtype == _TYPES[family]
        for item in answer
    ]


def _bound(device: str, family: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(_FAMILIES[family], kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    except BaseException:
        sock.close()
        raise
    return sock
