"""How each signal looks, for LEDs of every sort."""

import pytest

from linewatch_agent.led.meaning import MEANS, Signal
from linewatch_agent.led.patterns import (
    LASTS_S,
    DoubleFlash,
    Pattern,
    Steady,
    Timer,
    look_of,
)

FLASHING = (Signal.MEASURING, Signal.LINE_MISSING)


def shown(pattern: Pattern) -> list[tuple[int, int]]:
    """Return what the kernel shows in one turn: (brightness, ms)."""
    return [(brightness, ms) for brightness, ms in pattern.steps if ms]


def test_every_signal_has_words() -> None:
    """What a person sees is told by the status."""
    assert set(MEANS) == set(Signal)


@pytest.mark.parametrize(("inverted", "on", "off"), [(False, 255, 0), (True, 0, 255)])
def test_patterns_of_both_polarities(inverted: bool, on: int, off: int) -> None:
    """One flash in two seconds; two flashes close to each other."""
    looks = [
        look_of(signal, patterns=True, brightest=255, inverted=inverted) for signal in FLASHING
    ]
    one, two = (look for look in looks if isinstance(look, Pattern))
    assert shown(one) == [(off, 1900), (on, 100)]
    assert shown(two) == [(off, 1900), (on, 100), (off, 200), (on, 100)]


@pytest.mark.parametrize("signal", FLASHING)
def test_a_pattern_changes_suddenly_and_ends_lit(signal: Signal) -> None:
    """Each step has one of no length after it (else the kernel dims), and help comes last."""
    look = look_of(signal, patterns=True, brightest=1, inverted=False)
    assert isinstance(look, Pattern)
    assert [ms for _, ms in look.steps[1::2]] == [0] * (len(look.steps) // 2)
    assert [one for one, _ in look.steps[::2]] == [other for other, _ in look.steps[1::2]]
    assert look.steps[-1][0] == 1
    lasts_s = look.repeat * sum(ms for _, ms in look.steps) / 1000
    assert abs(lasts_s - LASTS_S) < 3


@pytest.mark.parametrize(("inverted", "on", "off"), [(False, 255, 0), (True, 0, 255)])
def test_a_light_that_is_to_be_dark_while_all_is_well(inverted: bool, on: int, off: int) -> None:
    """No flash for 90 s, and lit then unless it is shown anew: a dead agent asks for help."""
    for signal in FLASHING:
        look = look_of(signal, patterns=True, brightest=255, inverted=inverted, shows="help")
        assert isinstance(look, Pattern)
        assert (look.repeat, shown(look)) == (1, [(off, 89_900), (on, 100)])
        assert look.steps[-1] == (on, 0)
        without = look_of(signal, patterns=False, brightest=255, inverted=inverted, shows="help")
        assert without == Steady(off)
    help_ = look_of(Signal.HELP, patterns=True, brightest=255, inverted=inverted, shows="help")
    assert help_ == Steady(on)


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize(("inverted", "off"), [(False, 0), (True, 255)])
def test_a_light_that_is_to_be_dark_always(signal: Signal, inverted: bool, off: int) -> None:
    """Whatever is wrong."""
    for patterns in (True, False):
        look = look_of(signal, patterns=patterns, brightest=255, inverted=inverted, shows="nothing")
        assert look == Steady(off)


@pytest.mark.parametrize(
    ("inverted", "looks"),
    [
        (False, (Timer(100, 1900), DoubleFlash(False), Steady(255))),
        (True, (Timer(1900, 100), DoubleFlash(True), Steady(0))),
    ],
)
def test_without_the_pattern_trigger_other_triggers_look_alike(
    inverted: bool, looks: tuple[object, ...]
) -> None:
    """The kernel's own heartbeat is a double flash."""
    signals = (Signal.MEASURING, Signal.LINE_MISSING, Signal.HELP)
    told = [look_of(one, patterns=False, brightest=255, inverted=inverted) for one in signals]
    assert tuple(told) == looks
