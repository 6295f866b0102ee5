"""A connected TCP socket over one line, for the uplink: blocking, for use in a thread.

The broker's name is asked at the line's own name servers, so that a dead
default line does not take the others down with it. Source: docs/decisions/0014.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence

import dns.exception
import dns.inet
import dns.message
import dns.query
import dns.rdatatype

from linewatch_agent.line_socket import AF, line_socket, sockaddr
from linewatch_agent.plan.line import Line

BUDGET_S = 10.0
LOOKUP_S = 3.0
_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


def connect_over(line: Line, *, dns_port: int = 53) -> Callable[[str, int], socket.socket]:
    """Return a function that connects to (host, port) by `line` only; it raises OSError.

    Args:
        dns_port: the port of name servers (tests run where 53 is taken).
    """

    def connect(host: str, port: int) -> socket.socket:
        error: OSError = OSError("the server's name has no address here")
        for family, address in _addresses(line, host, dns_port):
            try:
                return _connect(line.device, family, address, port)
            except OSError as failed:
                error = failed
        raise error

    return connect


def _connect(device: str, family: int, address: str, port: int) -> socket.socket:
    sock = line_socket(device, AF[family], socket.SOCK_STREAM)
    try:
        sock.settimeout(BUDGET_S)
        sock.connect(sockaddr(device, address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _addresses(line: Line, host: str, dns_port: int) -> Sequence[tuple[int, str]]:
    """Return the addresses of `host` in the families that the line has, as (family, address)."""
    if dns.inet.is_address(host):
        return [(ipaddress.ip_address(host).version, host)]
    found: list[tuple[int, str]] = []
    for family in line.families:
        for server in line.resolvers:
            answers = _ask(line.device, server, dns_port, host, family)
            if answers:
                found += [(family, address) for address in answers]
                break
    return found


def _ask(device: str, server: str, port: int, host: str, family: int) -> list[str]:
    address = ipaddress.ip_address(server)
    # A router's own address, as it announces itself for IPv6, means nothing without its link.
    where = f"{server}%{device}" if address.version == 6 and address.is_link_local else server
    try:
        query = dns.message.make_query(host, _TYPES[family])
        with line_socket(device, AF[address.version], socket.SOCK_DGRAM) as sock:
            reply = dns.query.udp(query, where, timeout=LOOKUP_S, port=port, sock=sock)
    except (OSError, dns.exception.DNSException):
        return []
    return [
        item.address
        for answer in reply.answer
        if answer.rdtype == _TYPES[family]
        for item in answer
    ]
