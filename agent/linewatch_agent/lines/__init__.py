"""Finding this machine's lines, and explaining them: read the facts, then decide.

`find_lines` takes a few milliseconds, sends nothing and starts no program, so
the app calls it every ten seconds to see lines come and go. What others know of a line's
network (`Given`) comes from NetworkManager and the modems, and is handed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from linewatch_agent.lines.decide import lines_from
from linewatch_agent.lines.explain import explain, explain_json
from linewatch_agent.lines.gather import read_facts
from linewatch_agent.lines.ids import LineIds
from linewatch_agent.lines.network_manager import NameServers
from linewatch_agent.lines.problems import machine_problems_from
from linewatch_agent.plan.line import Given, Line, Problem
from linewatch_agent.plan.settings import Config

__all__ = [
    "LineIds",
    "NameServers",
    "explain",
    "explain_json",
    "find_lines",
    "find_lines_once",
    "given_to",
    "machine_problems",
]


def find_lines(
    config: Config, ids: LineIds, given: Mapping[str, Given] | None = None
) -> list[Line]:
    """Return this machine's lines now, usable or not; new ones are remembered in `ids`.

    Args:
        given: what the network gave for a device, by its name.
    """
    return lines_from(replace(read_facts(), given=given or {}), config, ids)


async def find_lines_once(config: Config, ids: LineIds) -> list[Line]:
    """Return the same with what NetworkManager says, for a command that looks only once."""
    lines = find_lines(config, ids)
    servers = await NameServers().about(lines)
    return find_lines(config, ids, given_to(servers, {})) if servers else lines


def given_to(
    servers: Mapping[str, tuple[str, ...]], sessions: Mapping[str, Given]
) -> dict[str, Given]:
    """Return what the network gave for each device.

    Args:
        servers: NetworkManager's word on name servers, which counts first: a modem's
            session is its own doing.
        sessions: what came with the data sessions of modems.
    """
    given = dict(sessions)
    for device, nameservers in servers.items():
        given[device] = replace(given.get(device, Given()), nameservers=nameservers)
    return given


def machine_problems(lines: Sequence[Line]) -> list[Problem]:
    """Return what is wrong with the machine as a whole, given the lines just found."""
    return machine_problems_from(read_facts(), lines)
