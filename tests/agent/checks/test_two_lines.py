"""Two lines in namespaces with the same target address behind each get their own answers.

The probe has two operators, both with the same target address, resolver, subnet
and gateway behind them (as two modems of one make have), and runs as nobody
with no capability. IPv4 and IPv6, both lines at the same time.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from linewatch_core.details import (
    DnsDetail,
    HttpDetail,
    PortalDetail,
    ThroughputDetail,
    TraceDetail,
)
from linewatch_core.records import Check
from tests.agent.checks.two_line_scenes import HTTP_PORT, target
from tests.support.netns import NOBODY, Netns, namespaces, wire

SCENES = "tests.agent.checks.two_line_scenes"
TARGET = {4: "198.51.100.7", 6: "2001:db8:7::7"}
ONLY_ONE = {4: "198.51.100.11", 6: "2001:db8:7::11"}
ONLY_TWO = {4: "198.51.100.12", 6: "2001:db8:7::12"}
RESOLVER = "198.51.100.53"
NAME = "www.example.org"
ANSWERS = {
    "one": {"4": "192.0.2.101", "6": "2001:db8:a::101"},
    "two": {"4": "192.0.2.102", "6": "2001:db8:a::102"},
}
TCP_PORT = {"one": 7001, "two": 7002}


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, Any]]:
    """Yield the outcomes of all checks, run once, as an unprivileged user."""
    with namespaces("probe", "one", "two") as (probe, one, two):
        probe.allow_ping()
        # Strict reverse path filtering would drop what comes back on the second line.
        probe.sysctl(net__ipv4__conf__all__rp_filter="2", net__ipv4__conf__default__rp_filter="2")
        for metric, name, netns, own in (
            (100, "one", one, ONLY_ONE),
            (200, "two", two, ONLY_TWO),
        ):
            _operator(probe, netns, name=name, metric=metric, own=own)
        assert probe.call(f"{SCENES}:user_and_capabilities", uid=NOBODY) == [
            str(NOBODY),
            "0" * 16,
            "0" * 16,
        ]
        yield probe.call(f"{SCENES}:check_all", _lines(), _targets(), uid=NOBODY)


def _operator(probe: Netns, netns: Netns, *, name: str, metric: int, own: dict[int, str]) -> None:
    behind = (TARGET[4], TARGET[6], own[4], own[6], RESOLVER)
    wire(
        (probe, f"wan-{name}", ("192.168.8.100/24", "2001:db8:8::100/64")),
        (
            netns,
            "lan0",
            (
                "192.168.8.1/24",
                "2001:db8:8::1/64",
                *(f"{address}/{128 if ':' in address else 32}" for address in behind),
            ),
        ),
    )
    for gateway in ("192.168.8.1", "2001:db8:8::1"):
        route = f"ip route add default via {gateway} dev wan-{name} metric {metric}"
        probe.run(*route.split())
    netns.serve(
        f"{SCENES}:operator",
        name,
        list(TARGET.values()),
        [RESOLVER],
        ANSWERS[name],
        TCP_PORT[name],
    )


def _lines() -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "device": f"wan-{name}",
            "gateways": {4: "192.168.8.1", 6: "2001:db8:8::1"},
            "resolvers": [RESOLVER],
        }
        for name in ("one", "two")
    ]


def _targets() -> list[dict[str, Any]]:
    targets = [
        target("name", NAME, [Check.DNS]),
        target("gateway", "@gateway", [Check.ICMP]),
    ]
    for family in (4, 6):
        host = TARGET[family]
        bracketed = f"[{host}]" if family == 6 else host
        url = f"http://{bracketed}:{HTTP_PORT}/"
        both = [Check.HTTP, Check.ICMP, Check.THROUGHPUT, Check.PORTAL]
        both_ways = [Check.ICMP, Check.TRACE]
        targets += [
            target(f"both-{family}", host, both, url=url, families=[family]),
            target(f"port-one-{family}", host, [Check.TCP], port=7001, families=[family]),
            target(f"port-two-{family}", host, [Check.TCP], port=7002, families=[family]),
            target(f"host-one-{family}", ONLY_ONE[family], both_ways, families=[family]),
            target(f"host-two-{family}", ONLY_TWO[family], both_ways, families=[family]),
        ]
    return targets


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
def test_http_gets_the_page_of_its_own_line(
    results: dict[str, Any], line: str, family: int
) -> None:
    """The same URL at the same address is another operator's page on each line."""
    failure, address, detail = results[f"{line} both-{family} http {family}"]
    assert (failure, address) == (None, TARGET[family])
    digest = hashlib.sha256(line.encode()).hexdigest()[:16]
    assert msgspec.convert(detail, HttpDetail) == HttpDetail(200, 3, digest)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
def test_dns_gets_the_answer_of_its_own_line(
    results: dict[str, Any], line: str, family: int
) -> None:
    """The same resolver address is another operator's resolver on each line."""
    failure, address, detail = results[f"{line} name dns {family}"]
    assert (failure, address) == (None, None)
    assert msgspec.convert(detail, DnsDetail) == DnsDetail("NOERROR", (ANSWERS[line][str(family)],))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
@pytest.mark.parametrize("whose", ["one", "two"])
def test_tcp_reaches_the_host_of_its_own_line(
    results: dict[str, Any], line: str, whose: str, family: int
) -> None:
    """A port that only one operator's host listens on is refused on the other line."""
    failure, address, _ = results[f"{line} port-{whose}-{family} tcp {family}"]
    assert failure == (None if line == whose else "connection_refused")
    assert address == TARGET[family]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
@pytest.mark.parametrize("whose", ["one", "two"])
def test_icmp_reaches_the_host_of_its_own_line(
    results: dict[str, Any], line: str, whose: str, family: int
) -> None:
    """A host that is up behind one operator only answers on that line and no other."""
    answered = results[f"{line} host-{whose}-{family} icmp {family}"][0] is None
    assert answered == (line == whose)
    assert results[f"{line} both-{family} icmp {family}"][:2] == [None, TARGET[family]]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
@pytest.mark.parametrize("whose", ["one", "two"])
def test_a_trace_reaches_the_host_of_its_own_line(
    results: dict[str, Any], line: str, whose: str, family: int
) -> None:
    """Every probe of a trace leaves by its line, and the operator's own network is not told."""
    _, _, detail = results[f"{line} host-{whose}-{family} trace {family}"]
    trace = msgspec.convert(detail, TraceDetail)
    assert (trace.reached, trace.hops) == (line == whose, ())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
def test_a_measured_fetch_is_of_its_own_line(
    results: dict[str, Any], line: str, family: int
) -> None:
    """Goodput and portal checks read the page of their own operator."""
    failure, _, detail = results[f"{line} both-{family} throughput {family}"]
    assert (failure, msgspec.convert(detail, ThroughputDetail).body_bytes) == (None, 3)
    failure, _, detail = results[f"{line} both-{family} portal {family}"]
    portal = msgspec.convert(detail, PortalDetail)
    digest = hashlib.sha256(line.encode()).hexdigest()[:16]
    assert (failure, portal.body_sha256) == ("http_unexpected_page", digest)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", ["one", "two"])
def test_the_gateway_of_each_line_answers_unnamed(
    results: dict[str, Any], line: str, family: int
) -> None:
    """Both gateways have the same address, answer, and are not named."""
    assert results[f"{line} gateway icmp {family}"][:2] == [None, None]
