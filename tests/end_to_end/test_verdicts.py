"""A line judged from end to end: the network behind it is cut in two, and joined again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from linewatch_core.ids import ProbeId
from linewatch_core.records import Check
from linewatch_core.timebase import Interval
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.index.queries import Queries
from linewatch_server.model.views import TransitionView
from linewatch_server.settings import Layout
from tests.support.world import World, world

LINE = "fixed-1"
PORT = 9000
DOMESTIC = [f"10.77.1.{number}" for number in range(1, 6)]
ABROAD = [f"10.77.2.{number}" for number in range(1, 7)]
ALL_ABROAD = "10.77.2.0/24"
WIDTH_MAX_MS = 5_000
"""Rounds are a second apart; a busy machine may miss some."""

HEAD = """
[schedule]
period_s = 1.0
jitter_s = 0.1
timeout_s = 0.8

[targets]
sets = []
local = false

[budget]
month_mb = 1_000_000

[store]
commit_s = 1.0
live_close_s = 1.0

[uplink]
bind = "any"
retry_max_s = 2.0
"""
TARGET = """
[[target]]
id = "{id}"
role = "{role}"
host = "{host}"
port = 9000
checks = ["tcp", "icmp"]
"""


def config() -> str:
    """Return a configuration with five domestic hosts and six abroad, a round a second."""
    hosts = [("domestic", host) for host in DOMESTIC] + [("international", host) for host in ABROAD]
    targets = [
        TARGET.format(id=f"{role}-{number}", role=role, host=host)
        for number, (role, host) in enumerate(hosts)
    ]
    return HEAD + "".join(targets)


@dataclass(frozen=True)
class Moment:
    """UTC in ms before and after something was done."""

    before_ms: int
    after_ms: int


@dataclass(frozen=True)
class Watched:
    """A world whose line is judged, and its probe."""

    world: World
    probe: ProbeId

    def do(self, command: str) -> Moment:
        """Run a shell command at the provider; return when."""
        before_ms = time.time_ns() // 1_000_000
        self.world.isp.run("sh", "-e", "-c", command)
        return Moment(before_ms, time.time_ns() // 1_000_000 + 1)

    def until_verdict(self, verdict: str) -> None:
        """Wait until `status` says it of the line."""

        def says() -> bool:
            status = self.world.status()
            return status is not None and [one["verdict"] for one in status["lines"]] == [verdict]

        self.world.until(f"{verdict} in status", says)

    def until_told(self, *path: str) -> list[TransitionView]:
        """Wait until the line's transitions at the server lead along `path`; return them."""
        self.world.until(
            f"{path} at the server",
            lambda: [one.after for one in self.transitions()] == list(path),
        )
        return self.transitions()

    def transitions(self) -> list[TransitionView]:
        """Return the line's transitions that the server has, by their numbers."""
        layout = Layout(self.world.server)
        queries = Queries(self.world.server, recipient_secrets=recipient_secrets(layout))
        found = queries.events(0, 2**53, probe=self.probe).transitions
        return sorted((one for one in found if one.target is None), key=lambda one: one.seq)


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two nets behind one line, a home and another abroad, and everything running."""
    with world(tmp_path_factory.mktemp("world")) as made:
        for address in DOMESTIC + ABROAD:
            made.isp.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        ledger = str(made.folder / "ledger")
        made.isp.serve("tests.support.world:serve_ledger", "0.0.0.0", [PORT], ledger)
        made.set_up_server()
        made.start_server()
        probe = ProbeId(made.enrol(config()))
        made.start_agent()
        made.until_synced()
        yield Watched(made, probe)


def test_a_cut_abroad_and_its_end_are_told_and_dated(watched: Watched) -> None:
    """`ok`, `intl_cut`, `ok`: in `status`, and at the server with bounds around the true moment."""
    watched.until_verdict("ok")
    watched.until_told("ok")
    cut = watched.do(f"ip address flush to {ALL_ABROAD} dev lo")
    watched.until_verdict("intl_cut")
    watched.until_told("ok", "intl_cut")
    joined = watched.do("\n".join(f"ip address add {one}/32 dev lo" for one in ABROAD))
    watched.until_verdict("ok")
    began, lost, back = watched.until_told("ok", "intl_cut", "ok")
    assert (began.before, began.line, lost.line, back.line) == ("unknown", LINE, LINE, LINE)
    assert (lost.before, lost.rule) == ("ok", "intl_cut")
    assert (back.before, back.rule) == ("intl_cut", "ok")
    assert_dates(lost, cut)
    assert_dates(back, joined)
    assert lost.samples, "the evidence is named"
    assert back.samples, "the evidence is named"
    watched.world.until("the traces of the changes at the server", lambda: traced(watched) >= 4)


def traced(watched: Watched) -> int:
    """Return how many traces the server has: of each change, one at home and one abroad."""
    layout = Layout(watched.world.server)
    queries = Queries(watched.world.server, recipient_secrets=recipient_secrets(layout))
    rows = queries.samples(watched.probe, LINE, 0, 2**53)
    return sum(row.sample.check is Check.TRACE for row in rows)


def assert_dates(told: TransitionView, when: Moment) -> None:
    """Assert that the bounds of a transition hold what happened, and little else."""
    earliest, latest = told.earliest, told.latest
    shown = f"{told.after}: {_about(earliest, when)} to {_about(latest, when)} ms after it was done"
    print(shown)
    assert earliest.lo_ms is not None, shown
    assert latest.hi_ms is not None, shown
    assert earliest.lo_ms <= when.after_ms, shown
    assert latest.hi_ms >= when.before_ms, shown
    assert latest.hi_ms - earliest.lo_ms <= WIDTH_MAX_MS, shown


def _about(at: Interval, when: Moment) -> list[int | None]:
    return [None if ms is None else ms - when.before_ms for ms in (at.lo_ms, at.hi_ms)]
