"""The uplink's own socket: over one line only, its name asked at that line's servers."""

import socket
from collections.abc import Iterator

import dns.message
import dns.rrset
import pytest

from linewatch_agent.lines import connect
from linewatch_agent.lines.connect import connect_over
from linewatch_agent.plan.line import Line
from linewatch_core.records import LineKind
from tests.support.names import NAME, name_server
from tests.support.netns import Netns, namespaces, wire


def line(**changes: object) -> Line:
    """Return a line on loopback."""
    values: dict[str, object] = {"families": (4, 6), "resolvers": ("127.0.0.1",), **changes}
    return Line("fixed-1", LineKind.FIXED, "lo", **values)  # type: ignore[arg-type]


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port that takes connections on both loopback addresses."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        yield sock.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_name_server(listener: int, host: str) -> None:
    """A pinned address works where every resolver lies."""
    with connect_over(line(resolvers=()))(host, listener) as sock:
        assert sock.getpeername()[0] == host
        bound = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert bound.rstrip(b"\0") == b"lo"
        assert sock.gettimeout() == connect.BUDGET_S


def test_a_name_is_asked_in_the_families_of_the_line(listener: int) -> None:
    """IPv4 first; the other family is the way out if the first address refuses."""
    with name_server({"A": ["127.0.0.1"], "AAAA": ["::1"]}) as (port, asked):
        with connect_over(line(), dns_port=port)(NAME, listener) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"
        with connect_over(line(families=(6,)), dns_port=port)(NAME, listener) as sock:
            assert sock.getpeername()[0] == "::1"
    assert asked == ["A", "AAAA", "AAAA"]


def test_the_next_address_is_tried() -> None:
    """The first refuses, the second takes the connection."""
    with (
        socket.create_server(("127.0.0.2", 0)) as only,
        name_server({"A": ["127.0.0.1", "127.0.0.2"]}) as (port, _),
        connect_over(line(), dns_port=port)(NAME, only.getsockname()[1]) as sock,
    ):
        assert sock.getpeername()[0] == "127.0.0.2"


def test_the_next_name_server_is_asked(listener: int) -> None:
    """One that is not there, or answers nonsense, does not end it."""
    with name_server({"A": ["127.0.0.1"]}) as (port, _):
        resolvers = ("127.0.0.9", "127.0.0.1")
        with connect_over(line(resolvers=resolvers), dns_port=port)(NAME, listener) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


def test_a_name_without_an_address_is_an_os_error() -> None:
    """What paho makes of it is a failed connection, as of any other."""
    with (
        name_server({}) as (port, _),
        pytest.raises(OSError, match="the server's name has no address here"),
    ):
        connect_over(line(), dns_port=port)(NAME, 1)


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 300, "-", "ü.example"])
def test_a_strange_name_is_an_os_error_too(name: str) -> None:
    """A configuration that names no host must not end the agent."""
    with name_server({}) as (port, _), pytest.raises(OSError, match="no address here"):
        connect_over(line(), dns_port=port)(name, 1)


def test_a_device_that_is_gone_is_an_os_error() -> None:
    """Neither name nor address leaves by another line."""
    gone = Line("mobile-1", LineKind.MOBILE, "gone0", families=(4,), resolvers=("127.0.0.1",))
    for host in ("127.0.0.1", NAME):
        with pytest.raises(OSError, match=r".+"):
            connect_over(gone)(host, 1)


async def over_link_local(router: str) -> list[str]:
    """Run inside: look up and connect with a router's link-local address as the only resolver."""
    here = Line("fixed-1", LineKind.FIXED, "eth0", families=(6,), resolvers=(router,))
    with connect_over(here)(NAME, 8883) as sock:
        return [str(sock.getpeername()[0])]


async def serve_link_local(address: str) -> None:
    """Run in the router's namespace: answer one name on port 53, and take connections."""
    import asyncio

    loop = asyncio.get_running_loop()
    listener = socket.create_server(("::", 8883), family=socket.AF_INET6)

    class Names(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: object) -> None:
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            reply.answer = [dns.rrset.from_text(NAME + ".", 60, "IN", "AAAA", address)]
            self.transport.sendto(reply.to_wire(), addr)  # type: ignore[attr-defined]

    await loop.create_datagram_endpoint(Names, local_addr=("::", 53))
    print("ready", flush=True)
    await asyncio.sleep(3600)
    listener.close()


def test_a_router_that_only_says_its_link_local_address_is_asked() -> None:
    """What IPv6 homes announce: an address that means nothing without its device."""
    with namespaces("probe", "router") as (probe, router):
        wire((probe, "eth0", ("fd88::2/64",)), (router, "lan0", ("fd88::1/64",)))
        router.serve(f"{__name__}:serve_link_local", "fd88::1")
        [address] = _link_local(router, "lan0")
        assert probe.call(f"{__name__}:over_link_local", address) == ["fd88::1"]


def _link_local(netns: Netns, device: str) -> list[str]:
    words = netns.run("ip", "-6", "-o", "addr", "show", "dev", device, "scope", "link").split()
    return [word.partition("/")[0] for word in words if word.startswith("fe80::")]
