"""What the light says in each state that a probe can be in."""

import pytest

from linewatch_agent.led.meaning import Health, LineHealth, Signal, kinds_of, signal_of
from linewatch_core.records import LineKind

FIXED = LineHealth("fixed-1", LineKind.FIXED, usable=True)
MOBILE = LineHealth("mobile-1", LineKind.MOBILE, usable=True)
BOTH = frozenset(LineKind)


def line(
    kind: str, *, usable: bool = False, worked: bool = False, ready: bool = False, n: int = 1
) -> LineHealth:
    """Return a line of a kind."""
    return LineHealth(f"{kind}-{n}", LineKind(kind), usable, worked, ready)


def test_all_lines_there_is_the_heartbeat() -> None:
    """Nothing is said beyond it."""
    told = signal_of(Health((FIXED, MOBILE), BOTH))
    assert (told.signal, told.reasons) == (Signal.MEASURING, ())


@pytest.mark.parametrize(
    ("lines", "known", "reasons"),
    [
        ((FIXED, line("mobile")), BOTH, ("mobile-1 is missing",)),
        ((line("fixed"), MOBILE), BOTH, ("fixed-1 is missing",)),
        ((line("fixed", worked=True), MOBILE), BOTH, ("fixed-1 is missing",)),
        ((FIXED, line("fixed", n=2, worked=True)), BOTH - {LineKind.MOBILE}, ("fixed-2 is mi",)),
        ((FIXED,), BOTH, ("the mobile line is missing",)),
        ((MOBILE,), BOTH, ("the fixed line is missing",)),
        ((FIXED, MOBILE, line("mobile", n=2)), BOTH, ("mobile-2 is missing",)),
    ],
    ids=[
        "a modem without a session",
        "no cable",
        "the cable came off",
        "one of two cables came off",
        "a modem of before the restart",
        "no fixed line any more",
        "the second of two modems",
    ],
)
def test_a_line_that_is_missing_is_the_double_flash(
    lines: tuple[LineHealth, ...], known: frozenset[LineKind], reasons: tuple[str, ...]
) -> None:
    """It names the line, or the kind of line, that somebody should look after."""
    told = signal_of(Health(lines, known))
    assert told.signal is Signal.LINE_MISSING
    for said, expected in zip(told.reasons, reasons, strict=True):
        assert said.startswith(expected)


@pytest.mark.parametrize(
    "lines",
    [
        (FIXED, line("fixed", n=2), MOBILE),
        (FIXED, line("mobile", ready=True)),
        (FIXED, line("mobile", worked=True, ready=True)),
        (line("mobile", ready=True),),
    ],
    ids=["a socket never used", "data cut", "data cut later", "data cut, the only line"],
)
def test_what_the_owner_can_do_nothing_about_changes_nothing(lines: tuple[LineHealth, ...]) -> None:
    """A shutdown is what the probe is for: its light says that it measures it."""
    known = frozenset(one.kind for one in lines)
    assert signal_of(Health(lines, known)).signal is Signal.MEASURING


@pytest.mark.parametrize(
    ("health", "says"),
    [
        (Health(), "no line can be measured"),
        (Health((line("fixed"), line("mobile"))), "no line can be measured"),
        (Health((FIXED,), late=True), "nothing is being measured"),
        (Health((FIXED,), store_problem="no space left"), "nothing can be stored: no space left"),
    ],
)
def test_what_only_a_person_can_mend_is_steady(health: Health, says: str) -> None:
    """Whatever else is missing, too."""
    told = signal_of(health)
    assert (told.signal, told.reasons) == (Signal.HELP, (says,))


def test_without_lines_a_late_round_is_no_second_trouble() -> None:
    """No line, no round: one reason is enough."""
    assert signal_of(Health(late=True)).reasons == ("no line can be measured",)


def test_kinds_are_read_from_the_ids_that_were_given() -> None:
    """A name that somebody chose says nothing of its kind."""
    assert kinds_of(["fixed-1", "mobile-12", "home", ""]) == BOTH
    assert kinds_of(["grandmother"]) == frozenset()
