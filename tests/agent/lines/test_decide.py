"""Which devices are lines, what each can do, and what is wrong with it."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from linewatch_agent.lines.decide import lines_from
from linewatch_agent.lines.facts import DefaultRoute, Device, Facts
from linewatch_agent.lines.ids import LineIds
from linewatch_agent.lines.problems import machine_problems_from
from linewatch_agent.plan.config import Config, load_config
from linewatch_agent.plan.line import Given, Line
from linewatch_core.records import LineKind


def device(name: str, *addresses: str, **facts: object) -> Device:
    base = Device(name, tuple(ip_interface(each) for each in addresses), hardware=True)
    return replace(base, **facts)  # type: ignore[arg-type]


ETH = device("eth0", "192.0.2.10/24", "fe80::10/64")
WWAN = device("wwan0", "10.64.0.7/30", kernel_type="wwan")
ETH_ROUTE = DefaultRoute("eth0", 4, "192.0.2.1", 100)
WWAN_ROUTE = DefaultRoute("wwan0", 4, None, 700)
BOTH = Facts((ETH, WWAN), (ETH_ROUTE, WWAN_ROUTE), ("198.51.100.53",))


def found(facts: Facts, config: str = "") -> list[Line]:
    return lines_from(facts, load_config(config, name="f.toml"), LineIds())


def codes(line: Line) -> list[str]:
    return [problem.code for problem in line.problems]


def only(each: Device, *routes: DefaultRoute, config: str = "") -> Line:
    (line,) = found(Facts((each,), routes, ("198.51.100.53",)), config)
    return line


def test_devices_with_a_default_route_are_lines() -> None:
    """A fixed and a mobile line; one without a next hop is fine."""
    assert found(BOTH) == [
        Line(
            "fixed-1",
            LineKind.FIXED,
            "eth0",
            families=(4,),
            gateways={4: "192.0.2.1"},
            resolvers=("198.51.100.53",),
        ),
        Line(
            "mobile-1",
            LineKind.MOBILE,
            "wwan0",
            families=(4,),
            gateways={},
            resolvers=("198.51.100.53",),
        ),
    ]


def test_a_family_needs_an_address_of_its_own_and_a_route() -> None:
    """Link-local addresses don't count, nor does a global one that no route serves."""
    both = device("eth0", "192.0.2.10/24", "2001:db8::10/64")
    six = DefaultRoute("eth0", 6, "fe80::1", 100)
    assert only(both, ETH_ROUTE, six).families == (4, 6)
    assert only(both, ETH_ROUTE, six).gateways == {4: "192.0.2.1", 6: "fe80::1"}
    assert only(both, ETH_ROUTE).families == (4,)
    assert only(ETH, ETH_ROUTE, six).families == (4,)


def test_of_two_default_routes_the_cheaper_gives_the_gateway() -> None:
    """As the kernel chooses."""
    other = DefaultRoute("eth0", 4, "192.0.2.2", 50)
    assert only(ETH, ETH_ROUTE, other).gateways == {4: "192.0.2.2"}


@pytest.mark.parametrize(
    ("facts", "routes", "code", "remedy"),
    [
        ({"up": False, "carrier": False}, (ETH_ROUTE,), "down", "sudo ip link set eth0 up"),
        ({"carrier": False}, (ETH_ROUTE,), "no_carrier", None),
        (
            {"carrier": False, "kernel_type": "wwan"},
            (),
            "no_carrier",
            "sudo nmcli device connect eth0",
        ),
        (
            {"addresses": (ip_interface("fe80::1/64"), ip_interface("169.254.3.4/16"))},
            (ETH_ROUTE,),
            "no_address",
            "sudo nmcli device connect eth0",
        ),
        (
            {},
            (),
            "no_route",
            "sudo nmcli device modify eth0 ipv4.never-default no ipv6.never-default no",
        ),
        (
            {},
            (DefaultRoute("eth0", 6, "fe80::1", 1),),
            "no_route",
            "sudo nmcli device modify eth0 ipv4.never-default no ipv6.never-default no",
        ),
    ],
)
def test_hardware_that_lacks_something_says_the_first_thing_it_lacks(
    facts: dict[str, object],
    routes: tuple[DefaultRoute, ...],
    code: str,
    remedy: str | None,
) -> None:
    """One problem each, with the command that mends it; the line is not usable."""
    line = only(replace(ETH, **facts), *routes)  # type: ignore[arg-type]
    assert codes(line) == [code]
    assert line.problems[0].remedy == remedy
    assert not line.usable


@pytest.mark.parametrize(
    "other",
    [
        device("br0", "192.0.2.20/24", hardware=False),
        device("veth1", "192.0.2.20/24", hardware=False),
        device("eth1", stacked=True),
        device("wlan0", wireless=True, carrier=False),
        device("wg0", "10.0.0.2/24", hardware=False),
    ],
)
def test_what_is_no_way_out_is_no_line(other: Device) -> None:
    """Bridges and container devices, ports of a bridge, unused Wi-Fi, tunnels."""
    routes = (ETH_ROUTE, DefaultRoute("wg0", 4, None, 1))
    facts = Facts((ETH, other), routes, ("198.51.100.53",))
    assert [line.device for line in found(facts)] == ["eth0"]


def test_a_bridge_or_veth_with_a_default_route_is_a_line() -> None:
    """Namespaces and routers have such."""
    veth = device("veth1", "192.0.2.20/24", hardware=False)
    assert only(veth, replace(ETH_ROUTE, device="veth1")).usable


def test_wifi_that_is_joined_but_has_no_address_is_told() -> None:
    """Joined, it is meant as a line."""
    assert codes(only(device("wlan0", wireless=True))) == ["no_address"]


def test_ignored_devices_are_left_out() -> None:
    """Patterns of the configuration."""
    assert [line.id for line in found(BOTH, '[lines]\nignore = ["eth*"]')] == ["mobile-1"]


def test_two_sticks_with_the_same_addresses_are_two_lines() -> None:
    """HiLink sticks come with one subnet, address and gateway for all."""
    names = ("usb0", "usb1")
    sticks = tuple(
        device(n, "192.168.8.100/24", driver="cdc_ether", usb_vendor="12d1") for n in names
    )
    routes = tuple(DefaultRoute(n, 4, "192.168.8.1", 700 + i) for i, n in enumerate(names))
    lines = found(Facts(sticks, routes, ("192.168.8.1",)))
    assert [(line.id, line.gateways[4], line.resolvers) for line in lines] == [
        ("mobile-1", "192.168.8.1", ("192.168.8.1",)),
        ("mobile-2", "192.168.8.1", ("192.168.8.1",)),
    ]


def test_a_line_asks_no_resolver_of_another_lines_network() -> None:
    """It could not be reached over this line, which would look like this line's fault."""
    servers = ("192.0.2.1", "10.64.0.5", "fe80::1%eth0", "fe80::2%wwan0", "127.0.0.53", "::1")
    lan6 = device("eth0", "192.0.2.10/24", "2001:db8::10/64")
    six = DefaultRoute("eth0", 6, "fe80::1", 100)
    fixed, mobile = found(Facts((lan6, WWAN), (ETH_ROUTE, six, WWAN_ROUTE), servers))
    assert fixed.resolvers == ("192.0.2.1", "fe80::1")
    assert mobile.resolvers == ("10.64.0.5",)


def test_a_networks_own_name_servers_come_before_the_machines_list() -> None:
    """Those of a family that the line has; the configuration's come before both."""
    given = {
        "eth0": Given(("198.51.100.1", "fe80::1%eth0", "127.0.0.1", "0.0.0.0")),
        "wwan0": Given(("203.0.113.53", "2001:db8::53")),
    }
    fixed, mobile = found(replace(BOTH, given=given))
    assert (fixed.resolvers, mobile.resolvers) == (("198.51.100.1",), ("203.0.113.53",))
    none = found(replace(BOTH, given={"eth0": Given(("2001:db8::53",))}))
    assert [line.resolvers for line in none] == [("198.51.100.53",)] * 2
    config = "[[line]]\nid='a'\ndevice='eth0'\nresolvers=['192.0.2.9']"
    (line,) = found(replace(BOTH, given=given), config)
    assert line.resolvers == ("192.0.2.9",)


@pytest.mark.parametrize(
    ("mtu", "session", "problems"),
    [(1500, 1430, ["mtu_too_long"]), (1430, 1430, []), (0, 1430, []), (1500, None, [])],
)
def test_packets_longer_than_the_session_carries_are_said(
    mtu: int, session: int | None, problems: list[str]
) -> None:
    """Who dials applies the MTU; where nobody did, long packets vanish."""
    facts = Facts((replace(WWAN, mtu=mtu),), (WWAN_ROUTE,), ("198.51.100.53",))
    (line,) = found(replace(facts, given={"wwan0": Given(mtu=session)}))
    assert codes(line) == problems
    assert line.usable
    assert [p.remedy for p in line.problems] == ["sudo ip link set wwan0 mtu 1430"][: len(problems)]


def test_no_resolver_is_a_problem_but_not_a_fatal_one() -> None:
    """Addresses can be measured without names."""
    (line,) = found(Facts((ETH,), (ETH_ROUTE,), ("127.0.0.53",)))
    assert codes(line) == ["no_resolver"]
    assert line.usable


def test_a_strict_filter_stops_every_line_but_the_preferred() -> None:
    """Their IPv4 replies never arrive, which would look like an outage."""
    strict = tuple(replace(each, rp_filter=1) for each in (ETH, WWAN))
    fixed, mobile = found(replace(BOTH, devices=strict))
    assert fixed.usable
    assert codes(mobile) == ["rp_filter_strict"]
    assert mobile.problems[0].remedy == "sudo sysctl -w net.ipv4.conf.all.rp_filter=2"
    assert not mobile.usable
    loose = tuple(replace(each, rp_filter=2) for each in (ETH, WWAN))
    assert all(line.usable for line in found(replace(BOTH, devices=loose)))


CONFIGURED = """
[[line]]
id = "dsl"
device = "wwan0"
kind = "fixed"
resolvers = ["203.0.113.53"]
gateway4 = "203.0.113.1"
[[line]]
id = "stick"
device = "wwan1"
operator = "north"
"""


def test_lines_of_the_configuration_are_the_only_ones() -> None:
    """In their order, with what is said of them; a device that is missing is told."""
    line, missing = found(BOTH, CONFIGURED)
    assert (line.id, line.kind, line.resolvers) == ("dsl", LineKind.FIXED, ("203.0.113.53",))
    assert line.gateways == {4: "203.0.113.1"}
    assert (missing.id, missing.kind, codes(missing)) == ("stick", LineKind.MOBILE, ["no_device"])
    assert (line.operator, missing.operator) == (None, "north")


def test_an_ignored_device_that_is_named_by_hand_is_a_line() -> None:
    """What is named is meant."""
    tunnel = device("wg0", "10.0.0.2/24", hardware=False)
    line = only(tunnel, DefaultRoute("wg0", 4, None, 1), config="[[line]]\nid='vpn'\ndevice='wg0'")
    assert line.usable


def test_ids_stay_when_a_device_goes_and_comes() -> None:
    """No other line takes over the id of one that is away."""
    ids = LineIds()
    config = Config()
    second = device("eth1", "198.51.100.9/24")
    routes = (ETH_ROUTE, DefaultRoute("eth1", 4, "198.51.100.1", 200))
    both = Facts((ETH, second), routes)
    assert [line.id for line in lines_from(both, config, ids)] == ["fixed-1", "fixed-2"]
    without = Facts((second,), routes[1:])
    restarted = LineIds(ids.known)
    assert [line.id for line in lines_from(without, config, restarted)] == ["fixed-2"]
    third = device("eth2", "203.0.113.9/24")
    grown = Facts((second, third), (*routes[1:], DefaultRoute("eth2", 4, "203.0.113.1", 1)))
    assert {line.device: line.id for line in lines_from(grown, config, restarted)} == {
        "eth1": "fixed-2",
        "eth2": "fixed-3",
    }


def test_closed_ping_is_a_problem_of_the_machine() -> None:
    """Unless one of the process's groups is in the range, or the range can't be read."""
    lines = found(BOTH)
    closed = replace(BOTH, ping_groups=(1, 0), groups=frozenset((0, 5)))
    (problem,) = machine_problems_from(closed, lines)
    assert (problem.code, problem.fatal) == ("ping_closed", False)
    assert problem.remedy == 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"'
    opened = replace(closed, ping_groups=(3, 5))
    assert machine_problems_from(opened, lines) == []
    assert machine_problems_from(replace(closed, ping_groups=None), lines) == []


def test_no_line_at_all_is_a_problem_of_the_machine() -> None:
    """Someone must be told, since there is no line to tell it of."""
    (problem,) = machine_problems_from(Facts(), found(Facts()))
    assert problem.code == "no_lines"
