"""Parsing the kernel's routes, the ping groups and resolv.conf, whatever the text."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.lines.facts import DefaultRoute
from linewatch_agent.lines.procnet import (
    parse_ipv6_route,
    parse_nameservers,
    parse_number,
    parse_ping_group_range,
    parse_route,
)

ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t{gateway}\t0003\t0\t0\t100\t00000000\t0\t0\t0
wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0
*\t00000000\t00000000\t0200\t0\t0\t9\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
""".format(gateway=f"{int.from_bytes(bytes((192, 0, 2, 1)), sys.byteorder):08X}")

NONE = "0" * 32
GLOBAL = "20010db8000000000000000000000001"
IPV6_ROUTE = f"""\
fd000000000000000000000000000000 40 {NONE} 00 {NONE} 00000100 00000001 00000000 00000001     eth0
{NONE} 00 {NONE} 00 {GLOBAL} 00000400 00000002 00000000 00000003     eth0
{NONE} 00 {GLOBAL} 40 fe800000000000000000000000000001 00000200 00000002 00000000 00000003     eth1
{NONE} 00 {NONE} 00 {NONE} 00000010 00000002 00000000 00000001    wwan0
{NONE} 00 {NONE} 00 {NONE} ffffffff 00000001 00000000 00200200       lo
"""


def test_ipv4_default_routes_are_found() -> None:
    """With and without a next hop; not networks, not half defaults, not refusals."""
    assert parse_route(ROUTE) == [
        DefaultRoute("eth0", 4, "192.0.2.1", 100),
        DefaultRoute("wwan0", 4, None, 700),
    ]


def test_ipv6_default_routes_are_found() -> None:
    """Metrics are hexadecimal; a default for one source prefix counts; a refusal does not."""
    assert parse_ipv6_route(IPV6_ROUTE) == [
        DefaultRoute("eth0", 6, "2001:db8::1", 0x400),
        DefaultRoute("eth1", 6, "fe80::1", 0x200),
        DefaultRoute("wwan0", 6, None, 0x10),
    ]


@pytest.mark.parametrize("text", ["", "\n", ROUTE[:110], "a b c d e f g h\n", IPV6_ROUTE])
def test_ipv4_text_that_is_cut_or_foreign_gives_what_is_whole(text: str) -> None:
    """A line that makes no sense is left out."""
    assert parse_route(text) == []


def test_ipv6_text_with_a_wrong_address_is_left_out() -> None:
    """An address of the wrong length is no next hop."""
    assert parse_ipv6_route(IPV6_ROUTE.replace(GLOBAL, GLOBAL[:-2]))[0].device == "eth1"
    assert parse_ipv6_route(ROUTE) == []


def test_ping_groups_are_two_numbers() -> None:
    """Anything else is unknown, which is not the same as closed."""
    assert parse_ping_group_range("1\t0\n") == (1, 0)
    assert parse_ping_group_range("") is None
    assert parse_ping_group_range("1 2 3") is None
    assert parse_number("2\n") == 2
    assert parse_number("two") == 0


def test_nameservers_are_read_in_order_once_each() -> None:
    """Comments, options and words that are no address are passed over."""
    text = (
        "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.53\n"
        "nameserver fe80::1%eth0\nnameserver\nnameserver dns.example\n"
        "nameserver 192.0.2.53 # again\noptions edns0\n"
    )
    assert parse_nameservers(text) == ["192.0.2.53", "fe80::1%eth0"]


COLUMN = st.text(alphabet="0123456789abcdefx-+_\u0663lo*", max_size=34)
LINES = st.lists(st.lists(COLUMN, max_size=12).map(" ".join), max_size=5).map("\n".join)


@given(st.text() | LINES)
def test_any_text_gives_routes(text: str) -> None:
    """No text makes a parser fail; what it finds has the family that it says."""
    assert all(route.family == 4 for route in parse_route(text))
    assert all(route.family == 6 for route in parse_ipv6_route(text))
    parse_ping_group_range(text)
    parse_number(text)
    assert all(" " not in each for each in parse_nameservers("nameserver " + text))
