"""Examines a probe: gathers what there is to know, asks every check, and leaves none out.

A check that fails in a way nobody thought of is itself a finding: whoever calls for a
doctor needs the other answers all the more.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from linewatch_agent.doctor import hardware, keeping, reach, running, setup, ways
from linewatch_agent.doctor.findings import Finding, problem
from linewatch_agent.doctor.host import Host
from linewatch_agent.lines import LineIds, find_lines_once, machine_problems
from linewatch_agent.modems.once import ask_modems
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import Config
from linewatch_agent.plan_file import Plan, read_plan
from linewatch_agent.status import NotRunningError, ask
from linewatch_agent.watcher import load_line_ids
from linewatch_core.errors import LinewatchError

CONFIG = Path("/etc/linewatch/linewatch.toml")
REPORT_IT = "report it as a fault of Linewatch, with this line"


def examine(
    state: Path, config: Path | None, *, network: bool = False, root: Path = Path("/")
) -> list[Finding]:
    """Return all that the doctor finds; what is fine, too.

    Args:
        config: the configuration file; None: the usual one, or the defaults without it.
        network: also try resolvers and the server, which sends something on every line.
    """
    path = config or (CONFIG if CONFIG.exists() else None)
    findings: list[Finding] = []
    plan = _plan(path, findings)
    settings = Config() if plan is None else plan.config
    host = Host(state, root, _status(state))
    checks: list[Callable[[], Iterable[Finding]]] = [
        partial(setup.first_boot, host),
        partial(setup.identity, host),
        partial(setup.release, host),
        partial(running.service, host),
        partial(running.agent, host),
        partial(running.last_end, host),
        partial(running.time, host),
        partial(keeping.store, host),
        partial(keeping.disk, host, settings.store),
        partial(hardware.power, host),
        partial(hardware.temperature, host),
        partial(hardware.memory, host),
        partial(hardware.watchdog, host),
        partial(hardware.light, host, settings.led),
        partial(_lines, state, path, plan, settings, network),
    ]
    for check in checks:
        with _told(findings):
            findings.extend(check())
    return findings


def _plan(path: Path | None, findings: list[Finding]) -> Plan | None:
    try:
        return read_plan(path)
    except LinewatchError as error:
        remedy = f"correct it, then: linewatch-agent check-config {path}"
        findings.append(problem("configuration", f"{error}.", remedy))
        return None


def _status(state: Path) -> dict[str, object] | None:
    try:
        return ask(state)
    except NotRunningError:
        return None


def _lines(
    state: Path, path: Path | None, plan: Plan | None, config: Config, network: bool
) -> Iterator[Finding]:
    ids = load_line_ids(state)
    found = asyncio.run(find_lines_once(config, ids))
    lines, said, trouble = asyncio.run(ask_modems(found))
    if plan is not None:
        yield from setup.configuration(plan, path, lines)
    before = LineIds() if config.line else ids
    yield from ways.lines(lines, [*machine_problems(lines), *trouble], before)
    yield from ways.modems(lines, said)
    if network:
        yield from asyncio.run(_network(state, config, lines))


async def _network(state: Path, config: Config, lines: list[Line]) -> list[Finding]:
    return [each async for each in reach.network(state, config.uplink, lines)]


@contextmanager
def _told(findings: list[Finding]) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        text = f"cannot look at {error.filename or 'a file'}: permission denied"
        findings.append(problem("doctor", text, "sudo linewatch-agent doctor"))
    except Exception as error:
        text = f"a check ended with {type(error).__name__}: {error}"
        findings.append(problem("doctor", text, REPORT_IT))
