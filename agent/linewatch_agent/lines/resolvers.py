"""Choose a line's name servers: those that its network gave, else from the machine's list.

Pure. The machine's one list mixes the servers of all lines; a server in another line's home
network can't be reached over this one, and asking it would look like a fault of
this line. Where this is not enough, `resolvers` in a [[line]] table is.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from linewatch_agent.lines.facts import Device

Address = IPv4Address | IPv6Address


def is_own(address: Address) -> bool:
    """Return whether an address is one to send from: not loopback, link-local or unset."""
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


def given_resolvers(nameservers: Sequence[str], families: Sequence[int]) -> tuple[str, ...]:
    """Return those of a network's own name servers that a line of it can ask, in order."""
    return tuple(
        str(server).partition("%")[0]
        for server in map(ip_address, nameservers)
        if server.version in families and not (server.is_loopback or server.is_unspecified)
    )


def resolvers_for(
    device: Device, lines: Sequence[Device], families: Sequence[int], nameservers: Sequence[str]
) -> tuple[str, ...]:
    """Return the name servers that this line can ask, in the machine's order.

    Args:
        device: the line's device.
        lines: the devices of all lines, this one too.
        families: those that the line can use.
        nameservers: the machine's list; link-local ones carry `%device`.
    """
    others = [each for each in lines if each.name != device.name]
    return tuple(
        str(server).partition("%")[0]
        for server in map(ip_address, nameservers)
        if server.version in families and _is_askable(server, device, others)
    )


def _is_askable(server: Address, device: Device, others: Sequence[Device]) -> bool:
    if server.is_loopback or server.is_unspecified:
        return False
    if server.is_link_local:
        return isinstance(server, IPv6Address) and server.scope_id == device.name
    return _is_neighbour(server, device) or not any(_is_neighbour(server, each) for each in others)


def _is_neighbour(server: Address, device: Device) -> bool:
    return any(
        server in each.network for each in device.addresses if each.version == server.version
    )
