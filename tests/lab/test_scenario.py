"""Scenario files: what they give, what they refuse, and that each one in the folder holds."""

from itertools import pairwise

import pytest

from linewatch_agent.plan.config import load_config
from linewatch_agent.plan.target_rules import target_faults
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from tests.lab.knobs import Knob
from tests.lab.plan import load_country
from tests.lab.scenario import Fault, Scenario
from tests.lab.scenario_file import SCENARIOS, load_scenario, parse_scenario
from tests.lab.targets import lab_targets, to_toml

COUNTRY = load_country()
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.toml"))
HEAD = """
name = "a"
about = "b"
begins = 2026-03-01T00:00:00Z
ends = 2026-03-01T01:00:00Z
"""
TEN, TWENTY, LATE = "2026-03-01T00:10:00Z", "2026-03-01T00:20:00Z", "2026-03-02T00:00:00Z"


def _parse(more: str) -> Scenario:
    return parse_scenario(HEAD + more, COUNTRY, name="f.toml")


def _event(more: str, begins: str = TEN, ends: str = TWENTY) -> str:
    return f"[[event]]\nbegins = {begins}\nends = {ends}\n{more}\n"


def _truth(state: str, more: str = "") -> str:
    return f'[[truth]]\nbegins = {TEN}\nends = {TWENTY}\nstate = "{state}"\n{more}\n'


def test_untold_time_is_ok() -> None:
    """A line is `ok` before and after what is told of it; other lines all the time."""
    scenario = _parse(_truth("intl_cut", 'operator = "beta"'))
    states = [(t.begins_s, t.ends_s, t.state) for t in scenario.truth_of("mobile-1")]
    assert states == [(0, 600, "ok"), (600, 1200, "intl_cut"), (1200, 3600, "ok")]
    assert [t.state for t in scenario.truth_of("fixed-1")] == ["ok"]


def test_an_event_without_end_lasts() -> None:
    """Without `ends` an event ends with the scenario."""
    scenario = _parse(f'[[event]]\nbegins = {TEN}\nknob = "cut"\nkind = "mobile"')
    (event,) = scenario.events
    assert (event.what, event.begins_s, event.ends_s) == (Knob.CUT, 600, 3600)
    assert scenario.changes_s() == (0, 600, 3600)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_event('knob = "cutt"'), r"line 9: event\[0\].knob: expected"),
        (_event(""), "expected a knob or a fault, and only one"),
        (_event('knob = "cut"\nfault = "power_cut"'), "expected a knob or a fault, and only one"),
        (_event('knob = "cut"', TWENTY, TEN), "expected begins before ends"),
        (_event('knob = "cut"', TEN, LATE), "both in the scenario"),
        (_event('knob = "cut"', "2026-03-01T00:10:00"), "expected a time in UTC"),
        (_event('knob = "cut"\noperator = "delta"'), "expected an operator and kind"),
        (_event('knob = "cut"\nkinds = "mobile"'), "did you mean kind"),
        (_event('knob = "bearer_refused"'), "expected mobile"),
        (_event('knob = "sni_reset"'), "sni_reset needs the option names"),
        (_event('knob = "blackhole"\noptions = { sites = ["x"] }'), "no site is called 'x'"),
        (
            _event('knob = "site_down"\nkind = "mobile"\noptions = { sites = ["bank"] }'),
            "takes neither operator nor kind",
        ),
        (_event('fault = "power_cut"\noptions = { loss = 1 }'), "expected only with a knob"),
        (_truth("sni_blocked"), r"truth\[0\].state: expected one of ok, local.power"),
        (_truth("dark", 'target = "news-one"'), "expected one of ok, throttled.target"),
        (_truth("dark") + _truth("ok", 'kind = "mobile"'), "overlaps what is told of mobile-1"),
    ],
)
def test_wrong_files_are_refused(text: str, reason: str) -> None:
    """What is wrong is said in one line that names the file and the place."""
    with pytest.raises(ConfigError, match=reason) as caught:
        _parse(text)
    assert str(caught.value).startswith("cannot use f.toml")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_says_which_there_are() -> None:
    """A misspelt scenario lists those that exist."""
    with pytest.raises(ConfigError, match=r"expected one of .*kazakhstan-2022"):
        load_scenario("kasakhstan", COUNTRY)


@pytest.mark.parametrize("name", NAMES)
def test_truth_partitions_the_scenario(name: str) -> None:
    """Each file is valid, bears its own name, and tells every moment of every line once."""
    scenario = load_scenario(name, COUNTRY)
    assert scenario.name == name
    for line in COUNTRY.line:
        told = scenario.truth_of(line.id)
        assert (told[0].begins_s, told[-1].ends_s) == (0, scenario.length_s)
        assert all(one.ends_s == next_.begins_s for one, next_ in pairwise(told))


@pytest.mark.parametrize("name", NAMES)
def test_truth_names_targets_that_are_measured(name: str) -> None:
    """A target in a file's truth is one that the lab's probe has."""
    targets = {target.id for target in lab_targets(COUNTRY)}
    told = {truth.target for truth in load_scenario(name, COUNTRY).truth}
    assert told - {None} <= targets


def test_every_verdict_has_a_scenario() -> None:
    """Each verdict is some line's or target's truth; `dns_suspect` is a CDN's mere mismatch."""
    told = {
        (truth.target is None, truth.state)
        for name in NAMES
        for truth in load_scenario(name, COUNTRY).truth
    }
    assert {state for of_line, state in told if of_line} == set(LineVerdict)
    implied = {TargetVerdict.OK, TargetVerdict.UNKNOWN, TargetVerdict.DNS_SUSPECT}
    assert {state for of_line, state in told if not of_line} == set(TargetVerdict) - implied


def test_faults_and_knobs_share_no_name() -> None:
    """An event's word alone says whether it is the country's or the probe's."""
    assert not {*map(str, Fault)} & {*map(str, Knob)}


def test_controls_are_no_shutdown() -> None:
    """No negative control lets the server say `suspected shutdown`."""
    controls = [load_scenario(name, COUNTRY) for name in NAMES if name.startswith("control-")]
    assert controls
    assert not any(scenario.suspected_shutdown for scenario in controls)


def test_kazakhstan_keeps_its_short_restorations() -> None:
    """The five days have every restoration of the fixed line as a stretch of its own."""
    scenario = load_scenario("kazakhstan-2022", COUNTRY)
    states = [truth.state for truth in scenario.truth_of("fixed-1")]
    assert states == ["ok", *["dark", "ok"] * 5, "dark", "allow_list", "dark", "ok"]
    mobile = scenario.truth_of("mobile-1")
    assert (mobile[1].state, mobile[-1].begins_s / 3600) == ("throttled", 9 * 24 + 2.25)


def test_lab_targets_suit_the_agent() -> None:
    """The lab's targets pass the agent's rules, and survive being written as TOML."""
    targets = lab_targets(COUNTRY)
    assert [fault for target in targets for fault in target_faults(target)] == []
    text = COUNTRY.agent_lines() + to_toml(targets)
    config = load_config(text, name="agent.toml")
    assert config.target == targets
    assert [line.id for line in config.line] == ["fixed-1", "mobile-1", "mobile-2"]
