"""An installed and enrolled probe for tests of units: made once, a layer over it for each test."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.layers import Layer, layer
from tests.appliance.machine import in_layer
from tests.appliance.release import install_agent

HERE = Path(__file__).parent
MAKING_S = 1800
"""The first test on a clean checkout makes the Debian root and the package: from a slow mirror
that takes longer than a test may."""
_ENROL = "runuser -u linewatch -- linewatch-agent enrol /srv/token.toml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give this folder's tests time for what is made once."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(MAKING_S))


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A token of a server that is nowhere: it is made, and never run."""
    directory = str(tmp_path_factory.mktemp("server") / "server")
    _server("init", directory, "--host", "192.0.2.1")
    return _server("enrol", directory)


@pytest.fixture(scope="session")
def enrolled(token: bytes) -> Iterator[Layer]:
    """A probe with the checkout's package installed, enrolled; never booted yet."""
    with layer() as made:
        install_agent(made)
        made.put("/srv/token.toml", token, mode=0o644)
        in_layer(made, *_ENROL.split())
        yield made


@pytest.fixture
def probe(enrolled: Layer) -> Iterator[Layer]:
    """An enrolled probe for one test, to be changed and booted."""
    with layer(over=enrolled) as made:
        yield made


def _server(*arguments: str) -> bytes:
    program = str(Path(sys.executable).with_name("linewatch-server"))
    return subprocess.run([program, *arguments], check=True, capture_output=True).stdout
