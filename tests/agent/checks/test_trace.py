"""The trace check in namespaces: a probe, its router, three routers beyond, and a target.

    probe - cpe (192.168/16) - access (100.64/10) - transit - border - target

The transit addresses must be globally routable for the check to store them, so the
namespaces use some; nothing in them can leave this machine.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.icmp_packets import RECVERR
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.trace import HOPS_MAX, _Tracer
from linewatch_agent.checks.trace_packets import parse_error, public_path
from linewatch_core.details import Hop, TraceDetail
from linewatch_core.records import Check
from tests.agent.checks.lab import LateError, run_once
from tests.support.netns import NOBODY, Netns, namespaces, wire

SCENES = "tests.agent.checks.two_line_scenes"
TRANSIT = {4: "5.0.0.", 6: "2a00:5::"}
"""Global by the registries' books."""
TARGET = {4: "5.0.2.2", 6: "2a00:5:2::2"}
MUTE = {4: "5.0.2.3", 6: "2a00:5:2::3"}
LINKS: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("192.168.8.100/24", "fd00:8::100/64"), ("192.168.8.1/24", "fd00:8::1/64")),
    (("100.64.0.2/24", "fd00:9::2/64"), ("100.64.0.1/24", "fd00:9::1/64")),
    (("5.0.0.1/24", "2a00:5::1/64"), ("5.0.0.2/24", "2a00:5::2/64")),
    (("5.0.1.1/24", "2a00:5:1::1/64"), ("5.0.1.2/24", "2a00:5:1::2/64")),
    (("5.0.2.1/24", "2a00:5:2::1/64"), ("5.0.2.2/24", "2a00:5:2::2/64")),
)


@pytest.fixture(scope="module")
def path() -> Iterator[list[Netns]]:
    """Yield the namespaces of the path, wired and routed, probe first."""
    with namespaces("probe", "cpe", "access", "transit", "border", "target") as made:
        for place, ((left, right), (one, other)) in enumerate(
            zip(pairwise(made), LINKS, strict=True)
        ):
            wire((left, f"up{place}", one), (right, f"down{place}", other))
        for place, netns in enumerate(made):
            netns.sysctl(net__ipv4__ip_forward="1", net__ipv6__conf__all__forwarding="1")
            netns.sysctl(net__ipv4__icmp_ratelimit="0", net__ipv6__icmp__ratelimit="0")
            if place < len(LINKS):
                _default(netns, LINKS[place][1], f"up{place}")
            for link in LINKS[: max(0, place - 1)]:
                _back(netns, link[0], LINKS[place - 1][0], f"down{place - 1}")
        for family in (4, 6):  # a neighbour that never answers, behind the border
            mute = f"ip -{family} neigh add {MUTE[family]} lladdr 02:00:00:00:00:99 dev up4"
            made[4].run(*mute.split())
        yield made


def _default(netns: Netns, via: tuple[str, str], device: str) -> None:
    for address in via:
        gateway = address.partition("/")[0]
        netns.run("ip", "route", "add", "default", "via", gateway, "dev", device)


def _back(netns: Netns, to: tuple[str, str], via: tuple[str, str], device: str) -> None:
    for network, address in zip(to, via, strict=True):
        length = network.partition("/")[2]
        base = network.partition("/")[0].rpartition("." if "." in network else ":")[0]
        prefix = f"{base}.0/{length}" if "." in network else f"{base}:/{length}"
        gateway = address.partition("/")[0]
        netns.run("ip", "route", "add", prefix, "via", gateway, "dev", device)


def traced(probe: Netns, host: str, family: int) -> tuple[str | None, str | None, TraceDetail]:
    """Return failure, address and detail of a trace by an unprivileged probe."""
    line = {
        "id": "one",
        "device": "up0",
        "gateways": {4: "192.168.8.1", 6: "fd00:8::1"},
        "resolvers": [],
    }
    made = {
        "id": "t",
        "host": host,
        "checks": [Check.TRACE],
        "role": "international",
        "families": [family],
    }
    found: dict[str, Any] = probe.call(f"{SCENES}:check_all", [line], [made], uid=NOBODY)
    failure, address, detail = found[f"one t trace {family}"]
    return failure, address, msgspec.convert(detail, TraceDetail)


@pytest.mark.parametrize("family", [4, 6])
def test_the_path_beyond_the_hosts_own_network_is_told(path: list[Netns], family: int) -> None:
    """Router, operator's shared addresses and nothing before them is stored; the rest is."""
    failure, address, detail = traced(path[0], TARGET[family], family)
    expected = {
        4: ["5.0.0.2", "5.0.1.2", "5.0.2.2"],
        6: ["2a00:5::2", "2a00:5:1::2", "2a00:5:2::2"],
    }[family]
    assert (failure, address) == (None, TARGET[family])
    assert [hop.address for hop in detail.hops] == expected
    assert [hop.ttl for hop in detail.hops] == [3, 4, 5]
    assert (detail.first_ttl, detail.last_ttl, detail.reached) == (3, 5, True)
    assert all(hop.rtt_us > 0 for hop in detail.hops)


@pytest.mark.parametrize("family", [4, 6])
def test_a_silent_target_leaves_the_hops_before_it(path: list[Netns], family: int) -> None:
    """Where the path ends is the evidence; the check ends within its time."""
    failure, _, detail = traced(path[0], MUTE[family], family)
    assert failure == "generic_timeout_error"
    assert [hop.ttl for hop in detail.hops] == [3, 4]
    assert (detail.last_ttl, detail.reached) == (HOPS_MAX, False)


async def test_a_target_on_the_own_machine_is_reached_and_hides_all() -> None:
    """On loopback the answer comes from the first hop: nothing of it is stored."""
    outcome: Outcome = await run_once(Check.TRACE, "127.0.0.5", timeout_s=1.0)
    assert (outcome.failure, outcome.detail) == (None, TraceDetail((), 2, 1, True))
    assert outcome.bytes_out > 0
    assert outcome.bytes_in > 0


async def test_the_error_of_an_earlier_probe_ends_no_trace() -> None:
    """It waits on the socket, and meets the next probe."""
    tracer = _Tracer("lo", "127.0.0.5", 4, clock=Clock())
    tracer._sock = LateError(tracer._sock)  # type: ignore[assignment]
    with tracer:
        await tracer.run(wave_s=5.0)
        assert tracer.outcome(failure="").failure is None


def hops(*rows: tuple[int, str]) -> list[Hop]:
    """Return hops from time to live and address."""
    return [Hop(ttl, address, 10) for ttl, address in rows]


@pytest.mark.parametrize(
    ("heard", "own", "kept", "first_ttl"),
    [
        ([(1, "192.168.1.1"), (2, "100.64.0.1"), (3, "5.0.0.1")], "192.168.1.9", [3], 3),
        ([(1, "5.9.9.1"), (2, "5.0.0.1")], "192.168.1.9", [2], 2),
        ([(1, "192.168.1.1"), (2, "5.9.9.1"), (3, "5.0.0.1")], "5.9.9.77", [3], 3),
        ([(1, "192.168.1.1"), (3, "10.0.0.1"), (4, "5.0.0.1")], "192.168.1.9", [4], 4),
        ([(2, "5.0.0.1"), (3, "10.0.0.1"), (4, "5.0.1.1")], "192.168.1.9", [2, 4], 2),
        ([(4, "5.0.0.1"), (2, "10.0.0.1")], "192.168.1.9", [4], 3),
        ([(1, "fe80::1"), (2, "fd00::1"), (3, "2a00:5::1")], "2a00:9::1", [3], 3),
        ([(1, "2a00:9:0:8::1"), (2, "2a00:9:0:9::1"), (3, "2a00:5::1")], "2a00:9::1", [3], 3),
        ([], "192.168.1.9", [], 2),
    ],
)
def test_the_hosts_part_of_a_path_is_left_out(
    heard: list[tuple[int, str]], own: str, kept: list[int], first_ttl: int
) -> None:
    """The first hop, leading private ones, the line's own network, and private ones anywhere."""
    path, first = public_path(hops(*heard), own=own)
    assert [hop.ttl for hop in path] == kept
    assert first == first_ttl


@given(st.sampled_from([4, 6]), st.lists(st.tuples(st.integers(), st.integers(), st.binary())))
def test_any_ancillary_data_is_an_error_or_not(
    family: int, ancillary: list[tuple[int, int, bytes]]
) -> None:
    """Whatever the kernel hands over, the parser returns a value."""
    parse_error(family, ancillary)


@given(st.sampled_from([4, 6]), st.binary(max_size=64))
def test_any_bytes_of_an_error_never_raise(family: int, data: bytes) -> None:
    """The same with the right option, so that its bytes are read."""
    said = parse_error(family, [(*RECVERR[family], data)])
    assert said is None or said.address
