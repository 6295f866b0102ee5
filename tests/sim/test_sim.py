"""Whole scenarios through verdicts, store and sync in simulated time, and what the bars catch."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.knobs import Knob
from tests.lab.plan import load_country
from tests.lab.scenario import Fault, Scenario
from tests.lab.scenario_file import SCENARIOS, load_scenario, parse_scenario
from tests.lab.truth import compare
from tests.sim.campaign import Result, markdown_of, scratch
from tests.sim.effects import EFFECTS, SIMULATED
from tests.sim.outcome import Outcome
from tests.sim.replay import CannotSimulateError, play

COUNTRY = load_country()
LONG = "kazakhstan-2022"
SHORT = sorted(path.stem for path in SCENARIOS.glob("*.toml") if path.stem != LONG)
HALF_AN_HOUR = """
name = "a"
about = "b"
begins = 2026-03-01T00:00:00Z
ends = 2026-03-01T00:30:00Z
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder, in memory if there is room for it: stores sync all the time."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        yield Path(name)


def played(scenario: str | Scenario, folder: Path, *, seed: int = 1) -> list[Outcome]:
    """Play a scenario by name or as a value; return what came of each probe."""
    if isinstance(scenario, str):
        scenario = load_scenario(scenario, COUNTRY)
    return play(scenario, COUNTRY, folder, seed=seed)


def with_fault(fault: Fault, begins: str = "00:10:00", ends: str = "00:15:00") -> Scenario:
    """Return half an hour in which one thing fails."""
    times = f"begins = 2026-03-01T{begins}Z\nends = 2026-03-01T{ends}Z"
    text = f'{HALF_AN_HOUR}[[event]]\n{times}\nfault = "{fault}"\n'
    return parse_scenario(text, COUNTRY, name="f.toml")


@pytest.mark.parametrize("name", SHORT)
def test_every_scenario_holds_every_bar(name: str, folder: Path) -> None:
    """Every change is told in time and nothing false; every record is at the server once."""
    for outcome in played(name, folder):
        assert outcome.missed_bars() == []
        tally = outcome.tally
        assert tally.committed == tally.stored_once > tally.measured - tally.unwritten > 0


def test_the_scenario_of_a_region_is_played_by_all_its_probes(folder: Path) -> None:
    """Five probes with dice of their own, and none says anything of the network."""
    outcomes = played("control-regional-power-cut", folder)
    assert len({outcome.begun_s for outcome in outcomes}) == len(outcomes) == 5
    for outcome in outcomes:
        said = {one.after for one in outcome.told if one.target is None}
        assert said == {"ok", "local.power"}


def test_what_went_with_the_power_is_told_as_a_hole(folder: Path) -> None:
    """Samples that no commit had got yet are gone, and lie in the gap of the next boot."""
    tallies = [outcome.tally for outcome in played("control-regional-power-cut", folder)]
    assert sum(tally.unwritten for tally in tallies) > 0
    assert [tally.untold for tally in tallies] == [0] * len(tallies)


def test_a_server_that_went_back_an_hour_is_filled_again(folder: Path) -> None:
    """What it had acknowledged and then lost comes again, unasked."""
    scenario = with_fault(Fault.SERVER_RESTORED, "00:20:00", "00:22:00")
    (outcome,) = played(scenario, folder)
    assert outcome.missed_bars() == []
    assert outcome.tally.stored_once == outcome.tally.committed
    assert outcome.restorations[0].complete_s is not None


def test_a_broker_that_forgets_costs_nothing(folder: Path) -> None:
    """What it had taken and nobody had fetched comes again: its word is not storage."""
    fetching_stops = with_fault(Fault.COLLECTOR_DOWN, "00:08:00", "00:12:00").events
    wiped = with_fault(Fault.BROKER_WIPED, "00:10:00", "00:11:00")
    scenario = replace(wiped, events=(*fetching_stops, *wiped.events))
    (outcome,) = played(scenario, folder)
    assert outcome.missed_bars() == []
    assert outcome.tally.stored_once == outcome.tally.committed


def test_a_modem_that_hangs_says_nothing_of_the_network(folder: Path) -> None:
    """Without a word from it a line that works stays ok."""
    (outcome,) = played(with_fault(Fault.MODEM_HUNG), folder)
    assert outcome.missed_bars() == []
    assert {one.after for one in outcome.told if one.target is None} == {"ok"}


def test_a_seed_replays_a_run(folder: Path) -> None:
    """The same seed tells the same transitions and counts, another one differs in noise."""
    runs = []
    for number, seed in enumerate((5, 5, 6)):
        own = folder / str(number)
        own.mkdir()
        runs.append(played("intl-cut", own, seed=seed))
    assert runs[0] == runs[1]
    assert runs[0][0].told != runs[2][0].told


def test_after_a_restoration_the_summary_comes_first(folder: Path) -> None:
    """Within ten seconds of the new session the first events are stored, then the backlog."""
    (outcome,) = played("dark", folder)
    (back,) = outcome.restorations
    assert back.backlog > 0
    assert back.connected_s is not None
    assert back.summary_s is not None
    assert back.complete_s is not None
    assert back.at_s < back.connected_s < back.summary_s <= back.complete_s
    assert back.summary_s - back.connected_s <= 10


def test_the_bars_see_what_is_wrong(folder: Path) -> None:
    """A change not told, one told late or dated badly, and one that is not true are all missed."""
    (outcome,) = played("intl-cut", folder)
    scenario, told = outcome.scenario, list(outcome.told)
    onset = next(one for one in told if one.after == "intl_cut")
    assert onset.decided_s is not None
    told.remove(onset)

    def missed(*others: object) -> list[str]:
        comparison = compare(scenario, [*told, *others], slack_s=60)  # type: ignore[list-item]
        return replace(outcome, comparison=comparison).missed_bars()

    assert missed(onset) == []
    assert missed() == ["1 × transition not told"]
    vague = replace(onset, latest_s=onset.latest_s + 300)
    assert missed(vague) == ["1 × onset or restoration error above 60 s"]
    assert missed(replace(onset, decided_s=onset.decided_s + 90)) == ["1 × told too late"]
    assert missed(onset, replace(onset, after="dark")) == ["1 × transition told that is not true"]
    lossy = replace(outcome.tally, stored_once=outcome.tally.stored_once - 1)
    assert replace(outcome, tally=lossy).missed_bars() == ["1 × record lost"]
    untold = replace(outcome.tally, untold=2)
    assert replace(outcome, tally=untold).missed_bars() == ["2 × record lost"]


def test_a_summary_has_the_worst_of_all_seeds() -> None:
    """One row a scenario: how many runs were right, and the largest errors among them."""
    good = Result("dark", 1, ("dark",), 10.0, 20.0, 3, 0, ())
    bad = replace(good, seed=2, onset_s=70.0, rounds=5, missed=("1 × too late",))
    *_, row = markdown_of([good, bad]).splitlines()
    assert row == "| dark | dark | 2 | 1 | 70.0 | 20.0 | 5 | 0 |"


@pytest.mark.parametrize("fault", sorted(set(Fault) - SIMULATED))
def test_a_fault_that_is_not_simulated_is_refused(fault: Fault, folder: Path) -> None:
    """Rather than played as if nothing had happened."""
    with pytest.raises(CannotSimulateError, match=f"{fault} is not simulated"):
        played(with_fault(fault), folder)


def test_every_knob_has_its_effects() -> None:
    """So that a new knob of the lab is not left out of the simulation unseen."""
    assert set(EFFECTS) == set(Knob)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kazakhstan_is_told_right_at_full_length(folder: Path) -> None:
    """Every listed transition on the right line and kind, and no record lost or stored twice."""
    (outcome,) = played(LONG, folder)
    assert outcome.missed_bars() == []
