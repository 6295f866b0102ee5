"""Parse what the kernel and the resolver write as text: routes, groups, name servers.

Pure. Invariant: any text gives a value; a line that makes no sense is left out,
since a kernel may add columns and a file may be cut short. Source: route(8),
linux/route.h, linux/ipv6_route.h, icmp(7), resolv.conf(5).
"""

import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

from linewatch_agent.lines.facts import DefaultRoute

_RTF_UP = 0x0001
_RTF_GATEWAY = 0x0002
_RTF_REJECT = 0x0200


def parse_route(text: str) -> list[DefaultRoute]:
    """Return the IPv4 default routes in the text of /proc/net/route.

    Of a multipath route the kernel shows the first next hop only.
    """
    found = []
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 11:
            continue
        device, destination, gateway, flags, _, _, metric, mask = columns[:8]
        try:
            if int(destination, 16) or int(mask, 16) or not _in_use(flags):
                continue
            # The kernel prints the address as a number in the machine's own byte order.
            hop = IPv4Address(int(gateway, 16).to_bytes(4, sys.byteorder))
            cost = int(metric)
        except (ValueError, OverflowError):
            continue
        found.append(DefaultRoute(device, 4, _next_hop(hop, flags), cost))
    return found


def parse_ipv6_route(text: str) -> list[DefaultRoute]:
    """Return the IPv6 default routes in the text of /proc/net/ipv6_route."""
    found = []
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 10:
            continue
        destination, prefix, _, source_prefix, gateway, metric, _, _, flags, device = columns[:10]
        try:
            # A default for one source prefix is another default too: routers with two
            # providers announce such.
            if int(destination, 16) or int(prefix, 16) or not _in_use(flags):
                continue
            hop = IPv6Address(bytes.fromhex(gateway))
            cost = int(metric, 16)
            int(source_prefix, 16)
        except ValueError:
            continue
        found.append(DefaultRoute(device, 6, _next_hop(hop, flags), cost))
    return found


def parse_ping_group_range(text: str) -> tuple[int, int] | None:
    """Return the first and last group of net.ipv4.ping_group_range; None if it is unreadable."""
    try:
        first, last = (int(part) for part in text.split())
    except ValueError:
        return None
    return first, last


def parse_nameservers(text: str) -> list[str]:
    """Return the addresses of a resolv.conf, in order, once each; scopes are kept."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                try:
                    found[str(ip_address(address))] = None
                except ValueError:
                    continue
    return list(found)


def parse_number(text: str) -> int:
    """Return a number in decimal, or 0 if it is none."""
    try:
        return int(text)
    except ValueError:
        return 0


def _in_use(flags: str) -> bool:
    bits = int(flags, 16)
    return bool(bits & _RTF_UP) and not bits & _RTF_REJECT


def _next_hop(hop: IPv4Address | IPv6Address, flags: str) -> str | None:
    return str(hop) if int(flags, 16) & _RTF_GATEWAY and int(hop) else None
