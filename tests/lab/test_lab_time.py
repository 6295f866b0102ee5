"""Compressed time maps moments to and fro, and keeps what follows a change."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.lab_time import LabTime, compress, lab_time
from tests.lab.plan import load_country
from tests.lab.scenario_file import load_scenario

COUNTRY = load_country()
SPEED = 30.0


@st.composite
def compressed(draw: st.DrawFn) -> tuple[LabTime, list[float]]:
    """Any scenario of whole seconds, and its changes."""
    lengths = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
    needs = [draw(st.integers(1, 2000)) for _ in lengths]
    changes = [float(sum(lengths[:n])) for n in range(len(lengths) + 1)]
    return compress(changes, needs, speed=SPEED), changes


def test_a_long_stretch_is_cut_at_its_end() -> None:
    """Of an hour, 300 s are played in 10 s; then the next change comes at once."""
    time = compress([0, 3600, 3660], [300, 300], speed=SPEED)
    assert time.length_s == 12
    assert (time.to_lab(3600), time.to_lab(3630)) == (10, 11)
    assert (time.to_scenario(5), time.to_scenario(10), time.to_scenario(11)) == (150, 3600, 3630)
    assert time.to_lab(2000) == 10


@given(compressed(), st.floats(0, 1))
def test_what_is_played_comes_back(made: tuple[LabTime, list[float]], share: float) -> None:
    """A moment that is played is told again from its moment in the lab."""
    time, _ = made
    for stretch in time.stretches:
        moment_s = stretch.begins_s + share * stretch.kept_s * 0.999
        assert time.to_scenario(time.to_lab(moment_s)) == pytest.approx(moment_s, abs=1e-3)


@given(compressed(), st.lists(st.floats(0, 10**7), min_size=2, max_size=2))
def test_order_is_kept(made: tuple[LabTime, list[float]], moments: list[float]) -> None:
    """Later in the scenario is never earlier in the lab, nor the other way round."""
    time, _ = made
    early, late = sorted(moments)
    assert time.to_lab(early) <= time.to_lab(late)
    assert time.to_scenario(early) <= time.to_scenario(late)


@given(compressed())
def test_changes_keep_their_order_and_the_length_shrinks(
    made: tuple[LabTime, list[float]],
) -> None:
    """No two changes fall together, and nothing gets longer."""
    time, changes = made
    assert all(time.to_lab(a) < time.to_lab(b) for a, b in pairwise(changes[:-1]))
    assert time.length_s <= changes[-1] / SPEED + 1e-6


@pytest.mark.parametrize(
    ("changes", "needs", "speed"),
    [([0.0], [], 1.0), ([0.0, 1.0], [], 1.0), ([1.0, 1.0], [1.0], 1.0), ([0.0, 1.0], [1.0], 0.0)],
)
def test_what_is_no_time_is_refused(changes: list[float], needs: list[float], speed: float) -> None:
    """Too few moments, needs that don't fit, moments that stand still, no speed."""
    with pytest.raises(ValueError, match="cannot compress"):
        compress(changes, needs, speed=speed)


def test_throttling_gets_its_quarter_of_an_hour() -> None:
    """A stretch lasts as long as its verdict must hold: 15 minutes for `throttled`."""
    scenario = load_scenario("throttled", COUNTRY)
    time = lab_time(scenario, period_s=30, round_s=1)
    normal, slow, _ = time.stretches
    assert 15 * 60 < slow.kept_s < 25 * 60
    assert normal.kept_s > 3600


def test_kazakhstan_fits_into_twelve_minutes() -> None:
    """Nine days with rounds of 30 s are played in at most 12 minutes with rounds of 1 s."""
    scenario = load_scenario("kazakhstan-2022", COUNTRY)
    time = lab_time(scenario, period_s=30, round_s=1)
    assert scenario.length_s > 9 * 24 * 3600
    assert time.length_s < 12 * 60
