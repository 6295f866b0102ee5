"""What the uplink asks of the rest of the agent, answered by the real store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linewatch_agent.agent_backend import AgentBackend
from linewatch_agent.plan.endpoint import Endpoint, parse_endpoint
from linewatch_agent.plan.line import Line
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.writer import WriterThread
from linewatch_agent.timekeeper import Timekeeper
from linewatch_agent.uplink.backend import NotNowError
from linewatch_core.records import LineKind
from linewatch_core.sync.uploader import Uploader
from tests.support.probe import Probe, close_all

FIRST, SECOND = parse_endpoint("mqtts://a.example:8883"), parse_endpoint("wss://a.example:443")
LINES = [
    Line("fixed-1", LineKind.FIXED, "eth0", (4,)),
    Line("mobile-1", LineKind.MOBILE, "wwan0", (4,)),
]


@pytest.fixture
def writer() -> Iterator[WriterThread]:
    """The store's thread."""
    made = WriterThread()
    yield made
    made.close()
    close_all()


def backend(
    probe: Probe,
    writer: WriterThread,
    *,
    bound: bool = True,
    may_connect: Callable[[str], bool] = lambda _: True,
) -> AgentBackend:
    """Return the backend of a probe with two lines and two endpoints."""
    return AgentBackend(
        store=probe.store,
        writer=writer,
        keys=probe.keys,
        machine=Uploader(epoch=probe.store.epoch),
        timekeeper=Timekeeper(lambda _: None),
        lines=lambda: LINES,
        endpoints=[FIRST, SECOND],
        bound=bound,
        version="0.1.0",
        may_connect=may_connect,
    )


def listed(made: AgentBackend) -> list[tuple[Endpoint, str | None]]:
    """Return the ways as endpoint and line."""
    return [(way.endpoint, way.line) for way in made.ways()]


def test_every_endpoint_is_a_way_over_every_line(tmp_path: Path, writer: WriterThread) -> None:
    """All lines with the first endpoint, then all with the second; unbound, each once."""
    probe = Probe(tmp_path / "probe")
    pairs = [(one, line.id) for one in (FIRST, SECOND) for line in LINES]
    assert listed(backend(probe, writer)) == pairs
    assert listed(backend(probe, writer, bound=False)) == [(FIRST, None), (SECOND, None)]


def test_a_line_that_must_wait_is_no_way(tmp_path: Path, writer: WriterThread) -> None:
    """Its month has no data for another connection now; the other's has."""
    probe = Probe(tmp_path / "probe")
    made = backend(probe, writer, may_connect=lambda line: line == "mobile-1")
    assert listed(made) == [(FIRST, "mobile-1"), (SECOND, "mobile-1")]


async def test_what_is_remembered_is_there_after_a_power_cut(
    tmp_path: Path, writer: WriterThread
) -> None:
    """The known time and the fleet's spread, in the store that survives everything else."""
    probe = Probe(tmp_path / "probe")
    made = backend(probe, writer)
    assert made.recall() is None
    await made.remember(b"before")
    await made.remember(b"now")
    later = Probe(probe.power_cut(tmp_path / "later"))
    assert backend(later, writer).recall() == b"now"


async def test_a_full_disk_ends_the_session_only(
    tmp_path: Path, writer: WriterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the agent, which goes on measuring."""
    probe = Probe(tmp_path / "probe")

    def full(*_: object) -> None:
        raise StoreFullError("no space left")

    monkeypatch.setattr(type(probe.store.kept), "remember", full)
    with pytest.raises(NotNowError, match="no space left"):
        await backend(probe, writer).remember(b"x")
