"""The reset ladder: step tables, and what it never does, whatever it hears."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.modem_ladder import (
    A_DAY,
    BACKOFF_MAX_S,
    DAY_S,
    PATIENCE_S,
    STEPS,
    WELL_S,
    Ended,
    Ladder,
    LadderSettings,
    Looked,
    Taken,
    ladder_settings,
)
from linewatch_agent.plan.settings import ModemsConfig
from linewatch_core.modem_words import ModemStep, ModemTrouble

GONE, SILENT, SESSION = ModemTrouble.GONE, ModemTrouble.SILENT, ModemTrouble.SESSION
LOOK_S = 30.0
ANY = frozenset(ModemStep)
MANY = LadderSettings(steps_a_day=24, reboot=True)


@dataclass
class Modem:
    """A ladder that is told what a look says every 30 s, and what it asked for, and when."""

    settings: LadderSettings = field(default_factory=LadderSettings)
    possible: frozenset[ModemStep] = ANY
    shares_power: bool = False
    now_s: float = 0.0
    taken: list[tuple[float, ModemStep]] = field(default_factory=list)
    been: ModemTrouble | None = None
    since_s: float = 0.0

    def __post_init__(self) -> None:
        self.ladder = Ladder(self.settings)

    def be(self, trouble: ModemTrouble | None, for_s: float) -> list[ModemStep]:
        """Stay so for a while, steps ending at once; return those asked for."""
        until_s, before = self.now_s + for_s, len(self.taken)
        if trouble is not self.been:
            self.been, self.since_s = trouble, self.now_s
        while self.now_s < until_s:
            look = Looked(trouble, self.possible, self.shares_power)
            for take in self.ladder.handle(look, self.now_s):
                assert take.trouble is trouble is not None
                assert self.now_s - self.since_s >= PATIENCE_S[trouble]
                self.taken.append((self.now_s, take.step))
                assert self.ladder.handle(Ended(), self.now_s) == []
            self.now_s += LOOK_S
        return [step for _, step in self.taken[before:]]


def test_a_modem_that_is_well_is_left_alone() -> None:
    """For a year."""
    assert Modem(MANY).be(None, 365 * DAY_S) == []


@pytest.mark.parametrize("trouble", ModemTrouble)
def test_a_trouble_that_ends_soon_is_left_alone(trouble: ModemTrouble) -> None:
    """However often it comes."""
    modem = Modem(MANY)
    for _ in range(50):
        assert modem.be(trouble, PATIENCE_S[trouble]) == []
        assert modem.be(None, LOOK_S) == []


@pytest.mark.parametrize("trouble", ModemTrouble)
def test_steps_come_mildest_first(trouble: ModemTrouble) -> None:
    """Each of them once, before any comes again."""
    steps = Modem(MANY).be(trouble, 8 * 3600)
    assert tuple(steps[: len(STEPS[trouble])]) == STEPS[trouble]


def test_waits_grow() -> None:
    """Each at least twice the one before, up to the longest."""
    modem = Modem(LadderSettings(steps_a_day=24))
    modem.be(SESSION, 12 * 3600)
    times = [at_s for at_s, _ in modem.taken]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(waits) >= 4
    assert all(
        later >= min(2 * earlier - LOOK_S, BACKOFF_MAX_S) for earlier, later in pairwise(waits[1:])
    )


def test_what_goes_and_comes_again_goes_on_where_it_was() -> None:
    """Well for a moment is not well; well for ten minutes begins anew."""
    modem = Modem()
    assert modem.be(SESSION, PATIENCE_S[SESSION] + LOOK_S) == [ModemStep.RECONNECT]
    modem.be(None, WELL_S / 2)
    assert modem.be(SESSION, PATIENCE_S[SESSION] + LOOK_S) == [ModemStep.RADIO]
    modem.be(None, WELL_S + 2 * LOOK_S)
    assert modem.be(SESSION, PATIENCE_S[SESSION] + LOOK_S) == [ModemStep.RECONNECT]


def test_nothing_else_is_asked_while_a_step_runs() -> None:
    """A step may take minutes."""
    ladder = Ladder(LadderSettings())
    asked = [take for at in range(100) for take in ladder.handle(Looked(SILENT), at * LOOK_S)]
    assert [take.step for take in asked] == [ModemStep.RESET]


def test_a_modem_that_was_pulled_out_costs_nothing() -> None:
    """Its USB device is gone and no port's power can be switched: not even a reboot."""
    modem = Modem(MANY, possible=ANY - {ModemStep.USB, ModemStep.POWER})
    assert modem.be(GONE, 3 * DAY_S) == []


def test_power_is_not_taken_from_a_line_that_works() -> None:
    """The ports of a Pi are switched together."""
    modem = Modem(LadderSettings(steps_a_day=24), shares_power=True)
    assert set(modem.be(GONE, DAY_S)) == {ModemStep.USB}


def test_a_reboot_is_the_configurations_to_allow() -> None:
    """Without it there is none in a week."""
    assert ModemStep.REBOOT not in Modem(LadderSettings(24)).be(SILENT, 7 * DAY_S)
    assert Modem(MANY).be(SILENT, DAY_S / 2).count(ModemStep.REBOOT) == 1


def test_an_earlier_run_counts() -> None:
    """A reboot ends the run that asked for it; the next one knows."""
    first = Modem(MANY)
    first.be(GONE, 4 * 3600)
    assert ModemStep.REBOOT in [step for _, step in first.taken]
    kept = [Taken(t.step, t.at_s - first.now_s) for t in first.ladder.taken(first.now_s)]
    again = Modem(MANY)
    again.ladder = Ladder(MANY, kept)
    assert ModemStep.REBOOT not in again.be(GONE, DAY_S - 4 * 3600)


def test_the_configuration_can_turn_it_off() -> None:
    """And says how much and how far."""
    assert ladder_settings(ModemsConfig(reset=False)) is None
    config = ModemsConfig(steps_a_day=3, reboot=True)
    assert ladder_settings(config) == LadderSettings(steps_a_day=3, reboot=True)


TROUBLES = st.none() | st.sampled_from(ModemTrouble)
STRETCHES = st.lists(
    st.tuples(TROUBLES, st.integers(1, 400), st.sets(st.sampled_from(ModemStep)), st.booleans()),
    max_size=30,
)


@given(STRETCHES, st.integers(1, 24), st.booleans())
def test_whatever_it_hears_it_keeps_within_its_bounds(
    stretches: list[tuple[ModemTrouble | None, int, set[ModemStep], bool]],
    steps_a_day: int,
    reboot: bool,
) -> None:
    """No step without a lasting trouble of its own, none too many, none not allowed."""
    modem = Modem(LadderSettings(steps_a_day, reboot))
    for trouble, looks, possible, shares_power in stretches:
        modem.possible, modem.shares_power = frozenset(possible), shares_power
        steps = modem.be(trouble, looks * LOOK_S)
        if trouble is None:
            assert steps == []
            continue
        assert set(steps) <= set(STEPS[trouble]) & possible
        assert not (shares_power and ModemStep.POWER in steps)
        assert reboot or ModemStep.REBOOT not in steps
    for at_s, _ in modem.taken:
        day = [step for then_s, step in modem.taken if at_s <= then_s < at_s + DAY_S]
        assert len(day) <= steps_a_day
        assert all(day.count(step) <= A_DAY[step] for step in set(day))
    assert modem.taken == [] or modem.taken[0][1] is not ModemStep.REBOOT
