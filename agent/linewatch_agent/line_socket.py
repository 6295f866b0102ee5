"""A socket that can leave the probe by one line only.

Checks and uplink make theirs here. The invariant: it is bound to the line's device
before it is connected or sends its first byte. Source: socket(7) SO_BINDTODEVICE
(an unprivileged user may, since Linux 5.7); docs/decisions/0014.
"""

import functools
import ipaddress
import socket
from typing import TypeAlias

AF = {4: socket.AF_INET, 6: socket.AF_INET6}
"""The address family of an IP version."""
IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@functools.lru_cache(maxsize=1024)
def parse_ip(address: str) -> IPAddress:
    """Return an address literal's value; ValueError for anything else.

    Remembered, since a check reads the same literal half a dozen times.
    """
    return ipaddress.ip_address(address)


def ip_version(address: str) -> int:
    """Return 4 or 6 for an address literal; ValueError for anything else."""
    return parse_ip(address).version


def line_socket(
    device: str, family: socket.AddressFamily, kind: socket.SocketKind, proto: int = 0
) -> socket.socket:
    """Return a non-blocking socket bound to `device`.

    Raises:
        OSError: ENODEV if the device is gone, EACCES where the kernel refuses the
            kind of socket (ICMP with `net.ipv4.ping_group_range` closed), EPERM.
    """
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    except BaseException:
        sock.close()
        raise
    return sock


def sockaddr(
    device: str, address: str, port: int = 0
) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the kernel's form of an address on a device.

    An IPv6 link-local address (a router's, usually) means nothing without its
    link: it gets the device's index as scope, whatever zone the text had.
    """
    ip = parse_ip(address)
    if ip.version == 4:
        return (address, port)
    bare = address.partition("%")[0]
    scope = socket.if_nametoindex(device) if ip.is_link_local else 0
    return (bare, port, 0, scope)
