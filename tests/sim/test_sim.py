"""Whole scenarios through verdicts, store and sync in simulated time, and what the bars catch."""

from dataclasses import replace
from pathlib import Path

import pytest

from linewatch_core.records import Transition
from tests.lab.knobs import Knob
from tests.lab.plan import load_country
from tests.lab.scenario_file import load_scenario
from tests.sim.effects import EFFECTS
from tests.sim.replay import CannotSimulateError, Outcome, play
from tests.sim.truth import compare

SHORT = ("intl-cut", "dark", "sni-blocked", "allow-list", "control-one-anchor-down")


def played(name: str, folder: Path, *, seed: int = 1) -> Outcome:
    """Play a scenario."""
    country = load_country()
    return play(load_scenario(name, country), country, folder, seed=seed)


@pytest.mark.parametrize("name", SHORT)
def test_a_short_scenario_holds_every_bar(name: str, tmp_path: Path) -> None:
    """Every change is told in time, and every record is at the server once, or still held."""
    outcome = played(name, tmp_path)
    assert outcome.missed_bars() == []
    tally = outcome.tally
    assert tally.committed == tally.stored_once > tally.measured > 0


def test_a_seed_replays_a_run(tmp_path: Path) -> None:
    """The same seed tells the same transitions and counts, another one differs in noise."""
    runs = []
    for number, seed in enumerate((5, 5, 6)):
        folder = tmp_path / str(number)
        folder.mkdir()
        runs.append(played("intl-cut", folder, seed=seed))
    assert runs[0] == runs[1]
    assert runs[0].transitions != runs[2].transitions


def test_after_a_restoration_the_summary_comes_first(tmp_path: Path) -> None:
    """Within ten seconds of the new session the first events are stored, then the backlog."""
    (back,) = played("dark", tmp_path).restorations
    assert back.backlog > 0
    assert back.connected_s is not None
    assert back.summary_s is not None
    assert back.complete_s is not None
    assert back.at_s < back.connected_s < back.summary_s <= back.complete_s
    assert back.summary_s - back.connected_s <= 10


def test_the_bars_see_what_is_wrong(tmp_path: Path) -> None:
    """A change not told, one told late, and one that is not true, are each missed bars."""
    outcome = played("intl-cut", tmp_path)
    scenario, told = outcome.scenario, list(outcome.transitions)
    onset = next(one for one in told if one.after == "intl_cut")
    told.remove(onset)
    silent = compare(scenario, told, slack_s=60)
    assert [row.after for row in silent.rows if row.error_s is None] == ["intl_cut"]
    late = _changed(onset, latest_ms=onset.latest_ms + 300_000)
    errors_s = [row.error_s or 0 for row in compare(scenario, [*told, late], slack_s=60).rows]
    assert max(errors_s) > 240
    false = _changed(onset, after="dark")
    assert compare(scenario, [*outcome.transitions, false], slack_s=60).unlisted == (false,)
    lossy = replace(outcome.tally, stored_once=outcome.tally.stored_once - 1)
    assert replace(outcome, tally=lossy).missed_bars() == ["1 × record lost"]


def test_a_fault_that_is_not_simulated_is_refused(tmp_path: Path) -> None:
    """Rather than played as if nothing had happened."""
    with pytest.raises(CannotSimulateError, match="power_cut is not simulated"):
        played("local-power", tmp_path)


def test_every_knob_has_its_effects() -> None:
    """So that a new knob of the lab is not left out of the simulation unseen."""
    assert set(EFFECTS) == set(Knob)


@pytest.mark.slow
def test_kazakhstan_is_told_right_at_full_length(tmp_path: Path) -> None:
    """Every listed transition on the right line and kind, and no record lost or stored twice."""
    assert played("kazakhstan-2022", tmp_path).missed_bars() == []


def _changed(told: Transition, **changes: object) -> Transition:
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return Transition(**{**fields, **changes})
