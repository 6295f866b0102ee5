"""Watches this machine's lines come, change and go."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from linewatch_agent import clock
from linewatch_agent.durable import write_whole
from linewatch_agent.lines import LineIds, NameServers, find_lines, given_to
from linewatch_agent.plan.line import Given, Line
from linewatch_agent.plan.settings import Config
from linewatch_core.records import LineChanged, LineKind

log = structlog.get_logger()

LOOK_EVERY_S = 10.0
LINE_IDS_FILE = "lines.json"
GONE = "device_gone"
"""The problem of a line whose device is no longer there."""


@dataclass(frozen=True, slots=True)
class _Facts:
    kind: LineKind
    usable: bool
    families: tuple[int, ...]
    problems: tuple[str, ...]
    operator: str | None


def load_line_ids(state_dir: Path) -> LineIds:
    """Return the ids that lines were given before; none if the file is missing or damaged."""
    try:
        known = json.loads((state_dir / LINE_IDS_FILE).read_text())
        return LineIds({str(key): str(value) for key, value in known.items()})
    except (OSError, ValueError, AttributeError):
        return LineIds()


def save_line_ids(state_dir: Path, ids: LineIds) -> None:
    """Keep the ids durably: a power cut leaves the old file or the new one.

    Raises:
        OSError: it can't be written.
    """
    path = state_dir / LINE_IDS_FILE
    write_whole(path, json.dumps(ids.known).encode())


class LineWatcher:
    """Looks for lines every ten seconds; tells what changed."""

    def __init__(
        self,
        config: Config,
        state_dir: Path,
        *,
        on_lines: Callable[[Sequence[Line]], Awaitable[None]],
        on_change: Callable[[LineChanged], None],
        operator_of: Callable[[str], str | None] = lambda _: None,
        sessions: Callable[[], Mapping[str, Given]] = dict,
    ) -> None:
        """Prepare.

        Args:
            operator_of: tells the operator that a line's modem named, if any.
            sessions: tells what came with the data sessions of modems, by device.
        """
        self._config = config
        self._state_dir = state_dir
        self._on_lines = on_lines
        self._on_change = on_change
        self._operator_of = operator_of
        self._sessions = sessions
        self._name_servers = NameServers()
        self._ids = load_line_ids(state_dir)
        self._saved = dict(self._ids.known)
        self._told: dict[str, _Facts] = {}
        self.lines: list[Line] = []

    async def look(self) -> None:
        """Look once."""
        # Who is asked depends on the lines, so the first look finds them twice.
        found = self.lines or find_lines(self._config, self._ids, {})
        given = given_to(await self._name_servers.about(found), self._sessions())
        self.lines = find_lines(self._config, self._ids, given)
        if self._ids.known != self._saved:
            self._save()
        for line in self.lines:
            self._compare(line)
        for gone in sorted(self._told.keys() - {line.id for line in self.lines}):
            told = self._told[gone]
            self._tell(
                gone,
                told.kind,
                usable=False,
                families=(),
                problems=(GONE,),
                operator=told.operator,
            )
        await self._on_lines(self.lines)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    def _save(self) -> None:
        try:
            save_line_ids(self._state_dir, self._ids)
        except OSError as error:
            # Measuring goes on without; the next look tries again.
            log.warning("line_ids_not_saved", reason=error.strerror)
            return
        self._saved = dict(self._ids.known)

    def _compare(self, line: Line) -> None:
        codes = tuple(problem.code for problem in line.problems)
        self._tell(
            line.id,
            line.kind,
            usable=line.usable,
            families=line.families,
            problems=codes,
            operator=line.operator,
        )

    def _tell(
        self,
        line: str,
        kind: LineKind,
        *,
        usable: bool,
        families: tuple[int, ...],
        problems: tuple[str, ...],
        operator: str | None,
    ) -> None:
        """Record how a line is, if that is news; an operator once known stays."""
        told = self._told.get(line)
        operator = operator or self._operator_of(line) or (told.operator if told else None)
        news = _Facts(kind, usable, families, problems, operator)
        if told == news:
            return
        self._told[line] = news
        log.info("line_changed", line=line, usable=usable, problems=problems)
        self._on_change(
            LineChanged(clock.mono_ms(), line, kind, usable, families, problems, operator)
        )
