"""Trying the network, when it is asked for: over loopback, with a real broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linewatch_agent.doctor.findings import Finding, Level
from linewatch_agent.doctor.reach import network
from linewatch_agent.identity.identity import Identity, load_identity
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import UplinkConfig
from linewatch_core.records import LineKind
from tests.support.broker import LocalServer, free_ports, running_server
from tests.support.names import NAME, name_server

LINES = (Line("fixed-1", LineKind.FIXED, "lo", families=(4,), resolvers=("127.0.0.1",)),)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server whose broker runs."""
    async with running_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
async def identity(server: LocalServer, tmp_path: Path) -> Identity:
    """A probe of it."""
    return await server.enrol_probe(tmp_path / "state")


async def tried(
    state: Path, config: UplinkConfig, *, lines: tuple[Line, ...] = LINES, dns_port: int = 53
) -> list[Finding]:
    """Return what the doctor says of the network."""
    said = network(state, config, lines, dns_port=dns_port, budget_s=2.0)
    return [each async for each in said]


@pytest.mark.parametrize("bind", ["lines", "any"])
async def test_a_server_that_answers(identity: Identity, tmp_path: Path, bind: str) -> None:
    """Over each line, or as the machine routes; up to the broker's own welcome."""
    config = UplinkConfig(bind=bind)  # type: ignore[arg-type]
    way = "fixed-1" if bind == "lines" else "the machine's own routing"
    assert await tried(tmp_path / "state", config) == [
        Finding("server", Level.OK, f"{endpoint} over {way}: answers")
        for endpoint in identity.endpoints
    ]


async def test_one_that_does_not_is_said_with_why(identity: Identity, tmp_path: Path) -> None:
    """Nothing listens there."""
    port = free_ports(1)[0]
    (one,) = await tried(tmp_path / "state", UplinkConfig(endpoints=(f"mqtts://127.0.0.1:{port}",)))
    assert one.level is Level.PROBLEM
    assert one.text.endswith("nothing listens at the server's address")


async def test_each_resolver_is_asked_for_the_servers_name(
    identity: Identity, tmp_path: Path
) -> None:
    """One that knows it, and one where nothing is; the certificate is for another name."""
    endpoint = identity.endpoints[0].replace("127.0.0.1", NAME)
    both = (Line("fixed-1", LineKind.FIXED, "lo", families=(4,),
                 resolvers=("127.0.0.1", "127.0.0.2")),)  # fmt: skip
    with name_server({"A": ["127.0.0.1"]}) as (port, _):
        said = await tried(
            tmp_path / "state", UplinkConfig(endpoints=(endpoint,)), lines=both, dns_port=port
        )
    assert [(each.topic, each.level) for each in said] == [
        ("resolver", Level.OK),
        ("resolver", Level.PROBLEM),
        ("server", Level.PROBLEM),
    ]
    assert "another name" in said[2].text


async def test_a_machine_that_is_no_probe_or_lacks_its_certificate(
    identity: Identity, tmp_path: Path
) -> None:
    """Nothing is tried, and that is said."""
    assert [each.level for each in await tried(tmp_path, UplinkConfig())] == [Level.NOTE]
    load_identity(tmp_path / "state").certificate_path.unlink()
    (one,) = await tried(tmp_path / "state", UplinkConfig(endpoints=("mqtts://127.0.0.1:1",)))
    assert one.level is Level.NOTE
