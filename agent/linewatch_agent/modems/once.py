"""Ask the modems once, for `linewatch-agent lines`. Changes nothing in them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from linewatch_agent import clock
from linewatch_agent.modems.advice import advice
from linewatch_agent.modems.bus import NoModemManagerError
from linewatch_agent.modems.home import home_of
from linewatch_agent.modems.look import LOOK_S, Memory, look
from linewatch_agent.modems.values import detail_of
from linewatch_agent.modems.words import described
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.system_bus import has_bus
from linewatch_core.records import LineKind

HUNG = Problem(
    "modem_manager_hung",
    "ModemManager does not answer, so nothing is known of modems.",
    "sudo systemctl restart ModemManager",
    fatal=False,
)


async def ask_modems(
    lines: Sequence[Line], *, limit_s: float = LOOK_S
) -> tuple[list[Line], dict[str, dict[str, Any]], list[Problem]]:
    """Return the lines with their operators, what the modem of each says, and what is wrong.

    A line is in the second only if a modem is known to be its own (words.described).
    """
    if not has_bus() or not any(line.kind is LineKind.MOBILE for line in lines):
        return list(lines), {}, []
    try:
        said = await look(Memory(), now_s=clock.mono_s(), limit_s=limit_s, set_up_signal=False)
    except NoModemManagerError:
        return list(lines), {}, []
    except TimeoutError:
        return list(lines), {}, [HUNG]
    answered: list[Line] = []
    modems: dict[str, dict[str, Any]] = {}
    for line in lines:
        one = said.get(line.device) if line.kind is LineKind.MOBILE else None
        if one is None:
            answered.append(line)
            continue
        values = one.values
        home = None if values is None else home_of(None, values)
        known = None if values is None else detail_of(values, use_quality=one.use_quality)
        sentence = None if values is None else advice(values)
        modems[line.id] = described(known, advice=sentence)
        operator = line.operator or (None if home is None else home.operator)
        answered.append(replace(line, operator=operator))
    return answered, modems, []
