"""Looks, one after the other: where the signal comes from, and what is remembered."""

from linewatch_agent.modems.look import SIGNAL_WAIT_S, Memory, Said, look
from linewatch_agent.modems.once import HUNG, ask_modems
from linewatch_core.modem_words import Sim
from tests.agent.modems.conftest import FIXED, HANGS_S, LINES, ONE, TWO
from tests.lab.modems import Modems


async def qualities(memory: Memory, now_s: float) -> list[bool]:
    """Return for each line whether SignalQuality may stand in for its signal's power."""
    said = await look(memory, now_s=now_s)
    return [one.use_quality for _, one in sorted(said.items()) if one is not None]


async def test_signal_quality_waits_for_what_is_better(modems: Modems) -> None:
    """A modem that agreed to measure gets its time; one that refused is not waited for."""
    modems.set(TWO.id, signal_refused=True)
    memory = Memory()
    assert await qualities(memory, 100.0) == [False, True]
    assert await qualities(memory, 130.0) == [False, True]


async def test_one_that_agreed_and_never_tells_falls_back(modems: Modems) -> None:
    """Until it tells a power once: then it is never mixed in again."""
    modems.set(ONE.id, signal_silent=True)
    memory = Memory()
    for now_s, expected in (
        (100.0, False),
        (100.0 + SIGNAL_WAIT_S - 1, False),
        (100.0 + SIGNAL_WAIT_S, True),
    ):
        assert (await qualities(memory, now_s))[0] is expected
    modems.set(ONE.id, signal_silent=False)
    assert (await qualities(memory, 300.0))[0] is False
    modems.set(ONE.id, signal_silent=True)
    assert (await qualities(memory, 900.0))[0] is False


async def test_a_modem_that_hangs_at_first_is_unknown(modems: Modems) -> None:
    """Whose it is cannot be known, so nothing is said, and the other line is read."""
    modems.set(ONE.id, hung=True)
    said = await look(Memory(), now_s=1.0, limit_s=HANGS_S)
    assert said.keys() == {TWO.device}


async def test_one_that_comes_back_hung_is_no_modem_gone(modems: Modems) -> None:
    """A new object that does not say its devices may be the one that is missed."""
    memory = Memory()
    await look(memory, now_s=1.0)
    modems.set(ONE.id, present=False)
    modems.set(ONE.id, present=True, hung=True)
    said = await look(memory, now_s=31.0, limit_s=HANGS_S)
    assert said[ONE.device] == Said(None)


async def test_asking_once_changes_nothing(modems: Modems) -> None:
    """The `lines` command: operators and words, without setting anything up."""
    modems.set(TWO.id, sim=Sim.MISSING)
    lines, described, trouble = await ask_modems(LINES)
    assert [line.operator for line in lines] == [None, "00101", None]
    assert {line: said["words"] for line, said in described.items()} == {
        ONE.id: "registered at home, LTE, -95 dBm, data session up",
        TWO.id: "SIM missing",
    }
    assert trouble == []
    assert [call for call in modems.asked() if call[2] == "Setup"] == []


async def test_a_hung_service_is_a_problem_of_the_machine(modems: Modems) -> None:
    """One sentence with what to do; lines are listed all the same."""
    modems.service("hung")
    assert await ask_modems(LINES, limit_s=HANGS_S) == (list(LINES), {}, [HUNG])


async def test_a_machine_without_mobile_lines_asks_nobody(modems: Modems) -> None:
    """Not even whether there is a ModemManager."""
    assert await ask_modems([FIXED]) == ([FIXED], {}, [])
    assert modems.asked() == []
