"""Finding this machine's lines, and explaining them: read the facts, then decide.

`find_lines` takes a few milliseconds, sends nothing and starts no program, so
the app calls it every ten seconds to see lines come and go.
"""

from collections.abc import Sequence

from linewatch_agent.lines.decide import lines_from
from linewatch_agent.lines.explain import explain, explain_json
from linewatch_agent.lines.gather import read_facts
from linewatch_agent.lines.ids import LineIds
from linewatch_agent.lines.problems import machine_problems_from
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.plan.settings import Config

__all__ = ["LineIds", "explain", "explain_json", "find_lines", "machine_problems"]


def find_lines(config: Config, ids: LineIds) -> list[Line]:
    """Return this machine's lines now, usable or not; new ones are remembered in `ids`."""
    return lines_from(read_facts(), config, ids)


def machine_problems(lines: Sequence[Line]) -> list[Problem]:
    """Return what is wrong with the machine as a whole, given the lines just found."""
    return machine_problems_from(read_facts(), lines)
