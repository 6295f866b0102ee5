"""How the probe is, for its light: what led/meaning.py decides from, read off the running agent.

Remembers which lines were usable since the start; changes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from linewatch_agent import clock
from linewatch_agent.led.meaning import Health, LineHealth, kinds_of
from linewatch_agent.watcher import load_line_ids
from linewatch_core.modem_words import Sim
from linewatch_core.records import LineKind

if TYPE_CHECKING:
    from linewatch_agent.app import Agent

ROUNDS_LATE = 3
"""A round that is so many periods late (and its last check) means that nothing measures."""


class HealthWatch:
    """Reads the health of an agent; one for as long as it runs."""

    def __init__(self, agent: "Agent", state_dir: Path) -> None:
        self._agent = agent
        # Lines that are named by hand are listed also when they are missing.
        named = bool(agent.plan.config.line)
        self._kinds = frozenset() if named else kinds_of(load_line_ids(state_dir).known.values())
        self._worked: dict[str, LineKind] = {}

    def look(self) -> Health:
        """Return how it is now."""
        lines = self._agent.watcher.lines
        self._worked |= {line.id: line.kind for line in lines if line.usable}
        gone = self._worked.keys() - {line.id for line in lines}
        found = tuple(
            LineHealth(
                line.id,
                line.kind,
                usable=line.usable,
                worked=line.id in self._worked,
                modem_ready=self._modem_ready(line.id),
            )
            for line in lines
        )
        left = tuple(
            LineHealth(name, self._worked[name], usable=False, worked=True) for name in sorted(gone)
        )
        return Health(
            lines=(*found, *left),
            kinds_known=self._kinds,
            late=self._late(),
            store_problem=self._agent.recorder.state.problem,
        )

    def _modem_ready(self, line: str) -> bool:
        modem = self._agent.modems.latest().get(line)
        return modem is not None and modem.present and modem.sim is Sim.READY

    def _late(self) -> bool:
        sampler, schedule = self._agent.sampler.state, self._agent.plan.config.schedule
        last_ms = sampler.round_ms
        since_s = clock.mono_s() - (self._agent.began_s if last_ms is None else last_ms / 1000)
        return since_s > ROUNDS_LATE * (sampler.period_s or schedule.period_s) + schedule.timeout_s
