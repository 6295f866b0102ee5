"""The bars of a run, and its account of records: each miss is seen, and named."""

import json
from collections import Counter
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from linewatch_core.records import Stream
from tests.lab.agent_config import Pace, agent_config
from tests.lab.lab_time import lab_time
from tests.lab.outcome import Outcome
from tests.lab.outcome_json import to_json
from tests.lab.plan import load_country
from tests.lab.report import show
from tests.lab.restorations import Restoration
from tests.lab.scenario_file import load_scenario
from tests.lab.tally import Contents, Tally, account
from tests.lab.timeline import Timeline
from tests.lab.truth import Comparison, Row, Told

COUNTRY = load_country()
GOOD = Row("fixed-1", None, 300.0, "ok", "dark", "ok > dark", 12.0)
BACK = Row("fixed-1", None, 600.0, "dark", "ok", "dark > ok", 60.0)
FALSE = Told("mobile-1", None, "ok", "intl_cut", "intl_cut", 300.0, 310.0)


def _outcome(*rows: Row, unlisted: tuple[Told, ...] = ()) -> Outcome:
    scenario = load_scenario("dark", COUNTRY)
    arrived = Restoration(1200.0, 20.0, 900, {}, 1, summary_s=21.0, complete_s=22.0)
    return Outcome(
        scenario=scenario,
        seed=7,
        pace=Pace(),
        comparison=Comparison(rows, unlisted),
        rounds_s=tuple(range(10, 1800, 30)),
        tally=Tally(samples=9, committed=10, stored_once=10, duplicates=0, held=0, gaps=0),
        restorations=(arrived,),
        timeline=Timeline(lab_time(scenario, period_s=30, round_s=1)),
        ran_s=30.0,
        cpu_s=15.0,
    )


def test_two_rounds_of_error_are_good_enough() -> None:
    """60 s hold the bar, and the worst of each kind is told."""
    outcome = _outcome(GOOD, BACK)
    assert outcome.missed_bars() == []
    assert (outcome.worst_s(restoring=False), outcome.worst_s(restoring=True)) == (12.0, 60.0)


def test_a_change_is_told_in_the_third_whole_round() -> None:
    """Rounds count from the change on, those of a throttle from the end of its hold."""
    third, fourth = replace(GOOD, late_s=70.0), replace(GOOD, late_s=100.0)
    throttled = replace(GOOD, after="throttled", late_s=250.0)
    assert _outcome(third).rounds_to_tell_max == 3
    assert _outcome(throttled).rounds_to_tell_max == 3
    assert _outcome(replace(GOOD, after="unknown", late_s=900.0)).rounds_to_tell_max is None
    assert _outcome(third, throttled).missed_bars() == []
    assert _outcome(fourth).missed_bars() == ["1 × transition told after more than 3 rounds"]


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (_outcome(replace(GOOD, error_s=60.1)), "1 × onset or restoration off by more than 60 s"),
        (_outcome(replace(GOOD, error_s=None, told="")), "1 × transition not told"),
        (_outcome(GOOD, unlisted=(FALSE,)), "1 × transition told that is not true"),
    ],
)
def test_a_wrong_verdict_is_a_missed_bar(outcome: Outcome, says: str) -> None:
    """Told too far off, not told, or told without being true."""
    assert outcome.missed_bars() == [says]
    shown = Console(file=StringIO(), width=200)
    show(outcome, shown)
    assert isinstance(shown.file, StringIO)
    assert f"missed: {says}" in shown.file.getvalue()


@pytest.mark.parametrize(
    ("tally", "says"),
    [
        ({"stored_once": 9}, "1 × record lost"),
        ({"stored_once": 8, "duplicates": 2}, "2 × record stored twice"),
        ({"stored_once": 7, "held": 3}, "3 × record not at the server in the end"),
    ],
)
def test_a_record_that_is_not_stored_once_is_a_missed_bar(tally: dict[str, int], says: str) -> None:
    """Lost, twice there, or never sent."""
    outcome = _outcome(GOOD)
    changed = replace(outcome, tally=replace(outcome.tally, **tally))
    assert changed.missed_bars() == [says]


def test_a_backlog_that_never_arrives_is_a_missed_bar() -> None:
    """However much else came."""
    outcome = _outcome(GOOD)
    late = replace(outcome.restorations[0], complete_s=None)
    assert replace(outcome, restorations=(late,)).missed_bars() == [
        "1 × restoration whose backlog did not arrive"
    ]


def test_the_outcome_as_json_tells_all_of_it() -> None:
    """Changes in real seconds, restorations in the lab's, and what is wrong."""
    document = json.loads(to_json(_outcome(GOOD, BACK, unlisted=(FALSE,))))
    assert document["changes"][0]["error_s"] == 12.0
    assert document["changes"][1]["restores"] is True
    assert document["not_true"][0]["after"] == "intl_cut"
    assert document["records"]["lost"] == 0
    assert document["restorations"][0]["complete_after_lab_s"] == 2.0
    assert document["missed_bars"] == ["1 × transition told that is not true"]


def test_every_record_is_accounted_for() -> None:
    """Once, twice, still held, given up in a gap, or lost: each number is exactly one of them."""
    contents = Contents()
    contents.times[Stream.RAW] = Counter({1: 1, 2: 2, 3: 1})
    contents.gaps[Stream.RAW].add(5, 5)
    committed = {Stream.EV: 0, Stream.ROLL: 0, Stream.RAW: 6}
    tally = account(committed, {Stream.RAW: [3, 4]}, contents)
    assert (tally.stored_once, tally.duplicates, tally.held, tally.gaps) == (2, 1, 1, 1)
    assert tally.lost == 1


def test_the_agents_settings_are_in_proportion() -> None:
    """A round of a second stands for 30: a hole of a minute is one of 2 s."""
    text = agent_config(COUNTRY, Pace())
    assert "hole_s = 2.000" in text
    assert "normal_every_s = 28.000" in text
    assert "hole_s = 4.000" in agent_config(COUNTRY, Pace(round_s=2.0))
