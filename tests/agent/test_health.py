"""The probe's health as read off an agent's parts: what the light is decided from."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linewatch_agent import clock
from linewatch_agent.health import HealthWatch
from linewatch_agent.led.meaning import LineHealth
from linewatch_agent.lines import LineIds
from linewatch_agent.plan.config import load_config
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.watcher import save_line_ids
from linewatch_core.modem_words import ModemDetail, Sim
from linewatch_core.records import LineKind

NO_CABLE = Problem("no_carrier", "eth0 has no link")


@dataclass
class Parts:
    """As much of an agent as its health is read from."""

    config: str = ""
    lines: list[Line] = field(default_factory=list)
    modems_say: dict[str, ModemDetail | None] = field(default_factory=dict)
    problem: str | None = None
    round_ms: int | None = None
    period_s: float | None = None
    began_s: float = field(default_factory=clock.mono_s)

    def watch(self, state: Path) -> HealthWatch:
        """Return what watches them; a change of a part is seen by its next look."""
        agent: Any = SimpleNamespace(
            plan=SimpleNamespace(config=load_config(self.config, name="f.toml")),
            watcher=self,
            modems=SimpleNamespace(latest=lambda: self.modems_say),
            recorder=SimpleNamespace(state=self),
            sampler=SimpleNamespace(state=self),
            began_s=self.began_s,
        )
        return HealthWatch(agent, state)


def line(kind: str, *problems: Problem) -> Line:
    """Return a found line."""
    return Line(f"{kind}-1", LineKind(kind), "eth0", problems=problems)


def test_a_line_that_goes_is_remembered_as_one_that_worked(tmp_path: Path) -> None:
    """Also when its device is gone and nobody lists it any more."""
    parts = Parts(lines=[line("fixed"), line("mobile", NO_CABLE)])
    watch = parts.watch(tmp_path)
    assert watch.look().lines == (
        LineHealth("fixed-1", LineKind.FIXED, usable=True, worked=True),
        LineHealth("mobile-1", LineKind.MOBILE, usable=False),
    )
    parts.lines = []
    assert watch.look().lines == (LineHealth("fixed-1", LineKind.FIXED, usable=False, worked=True),)


@pytest.mark.parametrize(
    ("said", "ready"),
    [
        (ModemDetail(sim=Sim.READY), True),
        (ModemDetail(sim=Sim.LOCKED), False),
        (ModemDetail(sim=Sim.MISSING), False),
        (ModemDetail(sim=None), False),
        (ModemDetail(present=False), False),
        (None, False),
    ],
)
def test_a_modem_with_an_open_sim_is_the_networks_business(
    tmp_path: Path, said: ModemDetail | None, ready: bool
) -> None:
    """One that is silent, gone, locked or without SIM is the owner's."""
    parts = Parts(lines=[line("mobile", NO_CABLE)], modems_say={"mobile-1": said})
    assert parts.watch(tmp_path).look().lines[0].modem_ready is ready


def test_kinds_of_lines_are_known_from_before_the_restart(tmp_path: Path) -> None:
    """But not where the configuration says which lines there are."""
    ids = LineIds()
    ids.id_for("wwan0", LineKind.MOBILE)
    save_line_ids(tmp_path, ids)
    assert Parts().watch(tmp_path).look().kinds_known == {LineKind.MOBILE}
    named = Parts(config='[[line]]\nid = "a"\ndevice = "eth0"')
    assert named.watch(tmp_path).look().kinds_known == frozenset()


@pytest.mark.parametrize(
    ("period_s", "ago_s", "late"),
    [(None, 80, False), (None, 100, True), (10.0, 30, False), (10.0, 40, True), (60.0, 180, False)],
)
def test_rounds_are_late_after_three_periods(
    tmp_path: Path, period_s: float | None, ago_s: float, late: bool
) -> None:
    """Of the period in force; before the first round, since the start."""
    then_s = clock.mono_s() - ago_s
    running = Parts(round_ms=int(then_s * 1000), period_s=period_s, began_s=then_s - 1000)
    assert running.watch(tmp_path).look().late is late
    if period_s is None:
        assert Parts(began_s=then_s).watch(tmp_path).look().late is late


def test_what_the_store_complains_of_is_passed_on(tmp_path: Path) -> None:
    """In its own words."""
    assert Parts(problem="no space left").watch(tmp_path).look().store_problem == "no space left"
