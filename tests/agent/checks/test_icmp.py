"""The icmp check: in namespaces against the kernel's own echo, and its parser against any bytes."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.icmp_packets import (
    RECVERR,
    Echo,
    echo_request,
    parse_echo_reply,
    parse_queued_error,
)
from tests.support.netns import NOBODY, Netns, namespaces, wire

SCENES = "tests.agent.checks.icmp_scenes"
FAMILY = st.sampled_from([4, 6])
NONCE = b"8 bytes!"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Netns, Netns]]:
    """Yield a probe wired to another host that has 50 addresses and rejects or drops some."""
    with namespaces("probe", "far") as (probe, far):
        many = tuple(f"198.51.100.{n}/32" for n in range(1, 51))
        wire(
            (probe, "wan0", ("192.0.2.1/24", "2001:db8::1/64")),
            (far, "lan0", ("192.0.2.2/24", "2001:db8::2/64", "2001:db8:7::7/128", *many)),
        )
        probe.run("ip", "route", "add", "default", "via", "192.0.2.2")
        probe.run("ip", "route", "add", "default", "via", "2001:db8::2")
        far.sysctl(net__ipv4__ip_forward="1", net__ipv6__conf__all__forwarding="1")
        # An ICMP error a packet: the kernel's own rate limit would make the tests wait. For IPv4
        # it is the mask: a limit of 0 takes the tokens that an unreachable route's errors need.
        far.sysctl(net__ipv4__icmp_ratemask="0", net__ipv6__icmp__ratelimit="0")
        for kind, v4, v6 in (
            ("unreachable", "203.0.113.1", "2001:db8:f::1"),
            ("prohibit", "203.0.113.2", "2001:db8:f::2"),
            ("blackhole", "203.0.113.3", "2001:db8:f::3"),
        ):
            far.run("ip", "route", "add", kind, v4)
            far.run("ip", "route", "add", kind, v6)
        probe.allow_ping()
        yield probe, far


def ping_all(
    probe: Netns, *hosts: str, timeout_s: float = 5.0, gateways: dict[int, str] | None = None
) -> list[dict[str, Any]]:
    """Ping hosts at once from the probe as an unprivileged user."""
    args = ("wan0", list(hosts), timeout_s, gateways or {})
    outcomes: list[dict[str, Any]] = probe.call(f"{SCENES}:ping_all", *args, uid=NOBODY)
    return outcomes


@pytest.mark.parametrize(
    ("host", "family", "wire_bytes"), [("198.51.100.1", 4, 84), ("2001:db8:7::7", 6, 104)]
)
def test_an_echo_is_timed_without_privilege(
    pair: tuple[Netns, Netns], host: str, family: int, wire_bytes: int
) -> None:
    """As nobody, with no capability: an answer over IPv4 and IPv6 with time and bytes."""
    (outcome,) = ping_all(pair[0], host)
    assert (outcome["failure"], outcome["family"], outcome["address"]) == (None, family, host)
    assert outcome["rtt_us"] >= 0
    assert outcome["rtt_us"] % 10 == 0
    assert (outcome["bytes_out"], outcome["bytes_in"]) == (wire_bytes, wire_bytes)


def test_fifty_targets_on_one_socket_keep_their_own_answers(pair: tuple[Netns, Netns]) -> None:
    """In one burst every target gets its own outcome, whatever happens to its neighbours."""
    answering = [f"198.51.100.{n}" for n in range(1, 51)]
    refused, silent = ["203.0.113.1", "203.0.113.2"], ["203.0.113.3"]
    mixed = [*answering[:25], *refused, *silent, *answering[25:], "2001:db8:7::7", "2001:db8:f::1"]
    outcomes = dict(zip(mixed, ping_all(pair[0], *mixed, timeout_s=2), strict=True))
    assert all(outcomes[host]["failure"] is None for host in [*answering, "2001:db8:7::7"])
    assert [outcomes[host]["failure"] for host in refused] == ["host_unreachable"] * 2
    assert outcomes["203.0.113.3"]["failure"] == "generic_timeout_error"
    assert outcomes["2001:db8:f::1"]["failure"] == "network_unreachable"
    assert [outcome["address"] for outcome in outcomes.values()] == mixed


def test_the_error_of_another_target_blames_nobody_else(pair: tuple[Netns, Netns]) -> None:
    """It waits on the socket that all share, and meets whoever sends next."""
    outcome = pair[0].call(f"{SCENES}:error_of_another")
    assert (outcome["failure"], outcome["address"]) == (None, "127.0.0.1")


def test_a_rejection_is_told_from_silence(pair: tuple[Netns, Netns]) -> None:
    """A router's ICMP error is its own failure at once; a black hole is a timeout."""
    hosts = ("203.0.113.1", "203.0.113.3", "2001:db8:f::2", "2001:db8:f::3")
    outcomes = ping_all(pair[0], *hosts, timeout_s=1)
    assert [outcome["failure"] for outcome in outcomes] == [
        "host_unreachable",
        "generic_timeout_error",
        "permission_denied",
        "generic_timeout_error",
    ]
    assert all(outcome["bytes_out"] > 0 for outcome in outcomes)
    assert all(outcome["rtt_us"] is None for outcome in outcomes)


def test_a_neighbour_that_is_gone_is_host_unreachable(pair: tuple[Netns, Netns]) -> None:
    """Nobody answers ARP for the address: the kernel says so after its tries."""
    (outcome,) = ping_all(pair[0], "192.0.2.77", timeout_s=10)
    assert outcome["failure"] == "host_unreachable"


def test_the_gateways_address_is_never_in_an_outcome(pair: tuple[Netns, Netns]) -> None:
    """@gateway is pinged, by a link-local IPv6 address too, and stays unnamed."""
    probe, far = pair
    shown = far.run("ip", "-6", "-o", "address", "show", "dev", "lan0", "scope", "link")
    link_local = shown.split()[3].partition("/")[0]
    (four,) = ping_all(probe, "@gateway", gateways={4: "192.0.2.2"})
    assert (four["failure"], four["address"]) == (None, None)
    (six,) = ping_all(probe, link_local)
    assert six["failure"] is None


def test_without_permission_the_failure_says_so() -> None:
    """A machine whose ping_group_range is closed gives permission_denied, not silence."""
    with namespaces("closed") as (closed,):
        closed.sysctl(net__ipv4__ping_group_range="1 0")
        outcomes = closed.call(
            f"{SCENES}:ping_all", "lo", ["127.0.0.1", "::1"], 1.0, {}, uid=NOBODY
        )
    assert [outcome["failure"] for outcome in outcomes] == ["permission_denied"] * 2


def test_a_busy_loop_lengthens_no_round_trip(pair: tuple[Netns, Netns]) -> None:
    """The kernel's timestamp counts: blocked for longer than the timeout, the reply was in time."""
    outcome = pair[0].call(f"{SCENES}:stalled_loop", 0.4)
    assert outcome["failure"] is None


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_wall_clock_that_steps_distorts_no_round_trip(
    pair: tuple[Netns, Netns], step_s: float
) -> None:
    """An absurd timestamp is not used: no negative and no hour-long round trip."""
    outcome = pair[0].call(f"{SCENES}:stepped_wall_clock", step_s)
    assert outcome["failure"] is None
    assert 0 <= outcome["rtt_us"] < abs(step_s) * 1e6


def test_closing_ends_what_waits(pair: tuple[Netns, Netns]) -> None:
    """A ping under way ends as `interrupted`; a cancelled one is cancelled."""
    outcome = pair[0].call(f"{SCENES}:closed_while_waiting", "203.0.113.3")
    assert outcome["cancelled"]
    assert outcome["failure"] in ("interrupted", "network_unreachable")


@given(FAMILY, st.integers(0, 0xFFFF))
def test_a_request_comes_back_as_its_echo(family: int, sequence: int) -> None:
    """What a host echoes is recognised by sequence and nonce."""
    reply_type = {4: 0, 6: 129}[family]
    reply = bytes([reply_type]) + echo_request(family, sequence, NONCE)[1:]
    assert len(reply) == 64
    assert parse_echo_reply(family, reply) == Echo(sequence, NONCE)


@given(FAMILY, st.binary(max_size=200))
def test_any_bytes_are_a_reply_or_not(family: int, packet: bytes) -> None:
    """Whatever comes in, the parser returns an echo or None."""
    echo = parse_echo_reply(family, packet)
    assert echo is None or len(echo.nonce) == 8


ANCILLARY = st.lists(
    st.tuples(st.sampled_from([0, 1, 41]), st.sampled_from([11, 25, 64]), st.binary(max_size=40)),
    max_size=3,
)


@given(FAMILY, st.binary(max_size=100), ANCILLARY)
def test_any_error_is_parsed_or_not(
    family: int, quoted: bytes, ancillary: list[tuple[int, int, bytes]]
) -> None:
    """Nothing in the error queue or the control data makes the parsers raise."""
    parsed = parse_queued_error(family, quoted, ancillary)
    assert parsed is None or len(quoted) >= 8


@given(FAMILY, st.integers(0, 0xFFFF), st.integers(0, 16))
def test_an_error_quotes_as_much_as_a_router_likes(
    family: int, sequence: int, quoted_bytes: int
) -> None:
    """Eight bytes of our packet are enough to know the echo; less names none."""
    quoted = echo_request(family, sequence, NONCE)[:quoted_bytes]
    ancillary = [(*RECVERR[family], struct.pack("=IBBBBII", 113, 2, 3, 1, 0, 0, 0))]
    parsed = parse_queued_error(family, quoted, ancillary)
    expected = (Echo(sequence, NONCE[: max(0, quoted_bytes - 8)]), 113)
    assert parsed == (expected if quoted_bytes >= 8 else None)
