"""Truth beside verdicts: what counts as told, how far off it was, and what is false."""

from datetime import UTC, datetime

from tests.lab.scenario import Scenario, Truth
from tests.lab.truth import Hole, Told, compare

LINE = "fixed-1"


def _scenario(*spans: tuple[float, float, str]) -> Scenario:
    truth = tuple(Truth(LINE, None, begins, ends, state, state) for begins, ends, state in spans)
    return Scenario("x", "", datetime(2026, 3, 1, tzinfo=UTC), spans[-1][1], (), truth)


def _told(before: str, after: str, earliest_s: float, latest_s: float) -> Told:
    return Told(LINE, None, before, after, after, earliest_s, latest_s, latest_s + 60)


CUT = _scenario((0, 600, "ok"), (600, 900, "dark"), (900, 1200, "ok"))


def test_the_error_is_that_of_the_farther_bound() -> None:
    """A claim of 580 to 610 s for what happened at 600 s is 20 s off."""
    told = [_told("ok", "dark", 580, 610), _told("dark", "ok", 899, 905)]
    found = compare(CUT, told, slack_s=60)
    assert [(row.after, row.error_s) for row in found.rows] == [("dark", 20), ("ok", 5)]
    assert [row.late_s for row in found.rows] == [70, 65]
    assert [row.restores for row in found.rows] == [False, True]
    assert found.unlisted == ()


def test_what_was_not_told_has_no_error() -> None:
    """A restoration that nobody told is a row of its own, without a claim."""
    (onset, end) = compare(CUT, [_told("ok", "dark", 600, 600)], slack_s=60).rows
    assert onset.error_s == 0
    assert (end.error_s, end.told) == (None, "")


def test_a_short_restoration_is_a_row_of_its_own() -> None:
    """Two cuts with a minute between them are two onsets and two ends."""
    scenario = _scenario(
        (0, 600, "ok"),
        (600, 900, "dark"),
        (900, 960, "ok"),
        (960, 1500, "dark"),
        (1500, 1800, "ok"),
    )
    told = [
        _told("ok", "dark", 600, 601),
        _told("dark", "ok", 900, 902),
        _told("ok", "dark", 960, 963),
        _told("dark", "ok", 1500, 1504),
    ]
    assert [row.error_s for row in compare(scenario, told, slack_s=60).rows] == [1, 2, 3, 4]


def test_a_false_verdict_is_named() -> None:
    """Another state than the truth's is false; `unknown` claims nothing."""
    false, vague = _told("ok", "intl_cut", 300, 310), _told("ok", "unknown", 300, 310)
    found = compare(CUT, [false, vague], slack_s=60)
    assert found.unlisted == (false,)


def test_a_hole_says_when_the_power_went() -> None:
    """The verdict `local.power` comes with the next boot; when it went is the gap's to say."""
    scenario = _scenario((0, 600, "ok"), (600, 900, "local.power"), (900, 1200, "ok"))
    told = [_told("ok", "local.power", 880, 905), _told("local.power", "ok", 905, 910)]
    rows = compare(scenario, told, slack_s=60, holes=[Hole(595, 905)]).rows
    assert [row.error_s for row in rows] == [5, 10]
    assert compare(scenario, told, slack_s=60).rows[0].error_s == 305
