"""Restorations are found in the truth, and what arrives after them is counted."""

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from tests.lab.plan import load_country
from tests.lab.restorations import Restorations, restored_at
from tests.lab.scenario_file import load_scenario

COUNTRY = load_country()


def _stored(**counts: int) -> dict[Stream, SeqSet]:
    found = {stream: SeqSet() for stream in Stream}
    for name, count in counts.items():
        if count:
            found[Stream(name)].add(1, count)
    return found


def test_kazakhstan_has_six_restorations() -> None:
    """Five times the fixed line came back, and at the end mobile lines did beside it."""
    scenario = load_scenario("kazakhstan-2022", COUNTRY)
    hours = [at_s / 3600 for at_s in restored_at(scenario)]
    assert hours == [89, 98, 108, 120, 132, 192]


def test_an_absent_server_is_no_restoration_until_it_is_back() -> None:
    """Broker and collector come back once each, while every line was fine."""
    scenario = load_scenario("control-server-outage", COUNTRY)
    assert [at_s / 60 for at_s in restored_at(scenario)] == [12, 22]


def test_summary_and_backlog_are_seen_when_they_are_there() -> None:
    """New events are the summary; what the probe had then must all have arrived."""
    restorations = Restorations(load_scenario("dark", COUNTRY))
    committed = {Stream.EV: 12, Stream.ROLL: 0, Stream.RAW: 900}
    restorations.changed(600, 9.0, committed, _stored(ev=10, raw=500))
    assert restorations.found == []
    restorations.changed(1200, 20.0, committed, _stored(ev=10, raw=500))
    (one,) = restorations.found
    assert (one.at_s, one.backlog, one.summary_s, one.complete_s) == (1200, 402, None, None)
    looks = [(20.5, 10, 700), (21.0, 12, 700), (22.0, 13, 950)]
    seen = []
    for run_s, events, samples in looks:
        restorations.look(run_s, _stored(ev=events, raw=samples))
        seen.append((one.summary_s, one.complete_s))
    assert seen == [(None, None), (21.0, None), (21.0, 22.0)]
