"""MQTT 5 first, and 3.1.1 with a broker that knows no better, without paying twice for it."""

from functools import partial

import aiomqtt
import pytest

from linewatch_agent.mqtt.client import LineClient, Version
from linewatch_agent.mqtt.connect_problem import Place, RefusedError, connect_problem
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.mqtt.strict import HungUpError
from linewatch_agent.mqtt.versions import HOLD_S, Versions, connected
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_server.settings import Layout
from tests.support.broker import HOST, init_server
from tests.support.hostile import FakeBroker, layout_tls, serving

HERE = Endpoint("mqtts", "a.example", 8883)
V5, V3 = Version.V5, Version.V311
HUNG_UP = HungUpError("closed before CONNACK")
TOO_NEW = RefusedError(Place.CONNECT, 0x84)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A server's directory, for its certificates."""
    return init_server(tmp_path_factory.mktemp("fleet") / "server")


async def attempt(layout: Layout, port: int, versions: Versions) -> str:
    """Connect once; return the version that was spoken, or what went wrong."""
    tls = tls_context(
        authority_pem=layout.authority_certificate.read_text(),
        certificate=layout.certificate("server"),
        key=layout.key("server"),
    )
    endpoint = Endpoint("mqtts", HOST, port)
    make = partial(LineClient, endpoint, tls=tls, identifier="x", budget_s=5.0)
    try:
        async with connected(endpoint, make, versions=versions) as client:
            return client.version.name
    except aiomqtt.MqttError as error:
        return connect_problem(error)


@pytest.mark.parametrize(
    "unknown",
    [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x00", b"nonsense", b""],
    ids=["return code 1", "0x84", "welcome of 3.1.1", "nonsense", "hangs up"],
)
async def test_a_broker_of_3_1_1_is_found_at_once_and_remembered(
    layout: Layout, unknown: bytes
) -> None:
    """Whatever it does at a version that it does not know; the next connection pays once."""
    broker, versions = FakeBroker(speaks=4, unknown=unknown), Versions()
    async with serving(broker.serve, tls=layout_tls(layout)) as port:
        assert await attempt(layout, port, versions) == "V311"
        assert await attempt(layout, port, versions) == "V311"
    assert broker.versions == [5, 4, 4]


async def test_a_broker_of_version_5_is_asked_once(layout: Layout) -> None:
    """Every time."""
    broker, versions = FakeBroker(speaks=5), Versions()
    async with serving(broker.serve, tls=layout_tls(layout)) as port:
        assert await attempt(layout, port, versions) == "V5"
        assert await attempt(layout, port, versions) == "V5"
    assert broker.versions == [5, 5]


async def test_who_cuts_every_connection_makes_us_pay_twice_only_once(layout: Layout) -> None:
    """A censor may do so for days; later tries take the versions in turn."""
    broker, versions = FakeBroker(speaks=0, unknown=b""), Versions()
    async with serving(broker.serve, tls=layout_tls(layout)) as port:
        for _ in range(4):
            assert await attempt(layout, port, versions) == "the server could not be reached"
    assert broker.versions == [5, 4, 4, 5, 4]


async def test_a_refusal_for_another_reason_is_no_reason_to_ask_again(layout: Layout) -> None:
    """A busy broker is spared a second connection."""
    broker = FakeBroker(speaks=5, connack=0x89)
    async with serving(broker.serve, tls=layout_tls(layout)) as port:
        assert "busy" in await attempt(layout, port, Versions())
    assert broker.versions == [5]


def test_what_was_learnt_holds_for_a_day() -> None:
    """However often it was used: a cut that looked like an old broker does not count for ever."""
    clock = Clock()
    versions = Versions(clock)
    assert versions.failed(HERE, V5, HUNG_UP)
    versions.works(HERE, V3)
    clock.now_s = HOLD_S - 1
    assert versions.choose(HERE) is V3
    versions.works(HERE, V3)
    clock.now_s = HOLD_S
    assert versions.choose(HERE) is V5


def test_a_hang_up_of_a_broker_that_is_known_means_nothing() -> None:
    """It is being restarted, or cut: what worked will work."""
    versions = Versions(Clock())
    versions.works(HERE, V5)
    assert not versions.failed(HERE, V5, HUNG_UP)
    assert versions.choose(HERE) is V5


def test_a_broker_that_is_known_may_be_replaced_by_an_older_one() -> None:
    """It says so."""
    versions = Versions(Clock())
    versions.works(HERE, V5)
    assert versions.failed(HERE, V5, TOO_NEW)
    assert versions.choose(HERE) is V3


def test_each_endpoint_is_its_own() -> None:
    """Another provider may be behind the next port."""
    versions = Versions(Clock())
    versions.works(HERE, V3)
    assert versions.choose(Endpoint("wss", "a.example", 443)) is V5


def test_a_timeout_is_no_word_on_the_version() -> None:
    """A tarpit gets one connection a try."""
    versions = Versions(Clock())
    assert not versions.failed(HERE, V5, aiomqtt.MqttError("no answer: MQTT"))
    assert versions.choose(HERE) is V5
