"""One country for all tests of the lab, healthy at the start of each."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from linewatch_core.records import LineKind
from tests.lab.country import Country
from tests.lab.knobs import Knob, Options
from tests.lab.panel import Seen, see
from tests.lab.tun import in_netns
from tests.lab.worker import Worker

BROKER_PORT = 8883


@dataclass
class Lab:
    """The country, and the probe's checks in it."""

    country: Country
    probe: Worker

    def apply(
        self,
        knob: Knob,
        operator: str | None = None,
        kind: LineKind | None = None,
        **options: object,
    ) -> None:
        """Set a knob; see Country.apply."""
        self.country.apply(knob, operator=operator, kind=kind, options=Options(**options))  # type: ignore[arg-type]

    def see(self) -> Seen:
        """Run the panel on every line."""
        self.country.settle()
        return see(self.probe, [line.id for line in self.country.plan.line])


@pytest.fixture(scope="session")
def running() -> Iterator[Lab]:
    """Make the country, with a listener where the broker will be."""
    with Country(seed=7) as country:
        server = country.plan.address_of("server")
        with in_netns(country.netns("server").name):
            broker = socket.create_server((server, BROKER_PORT), backlog=4096)
        with broker:
            probe = country.worker("tests.lab.probe", place="probe")
            probe.await_ready()
            yield Lab(country, probe)


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    """Yield the country, and take every knob back afterwards."""
    yield running
    running.country.clear()
