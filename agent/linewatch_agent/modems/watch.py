"""Each round, what the modem of every mobile line says, as a sample.

Runs beside the rounds and never holds them up: a look that hangs ends by itself, and
the next round has its own. Where no bus or no ModemManager is (a HiLink stick is its
own modem), nothing is said of a line, and that is logged once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from linewatch_agent import clock
from linewatch_agent.modems.advice import advice
from linewatch_agent.modems.bus import NoModemManagerError
from linewatch_agent.modems.given import given_by
from linewatch_agent.modems.home import Home, home_of
from linewatch_agent.modems.look import LOOK_S, Memory, Said, look
from linewatch_agent.modems.values import detail_of
from linewatch_agent.plan.line import Given, Line
from linewatch_agent.system_bus import NO_BUS, has_bus
from linewatch_core.modem_words import MODEM_TARGET, ModemDetail
from linewatch_core.records import Check, LineKind, Sample
from linewatch_core.verdict.answers import TIMEOUT

log = structlog.get_logger()

OnLook: TypeAlias = Callable[[Mapping[str, str], Mapping[str, Said | None]], None]

ROUNDS_WAITING_MAX = 16
"""Looks are begun at once, so that none ever waits; if they did, the rounds would go without."""


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A round whose look has begun and not ended."""

    began_ms: int
    round_ms: int


class ModemWatch:
    """Asks the modems of all mobile lines, round after round."""

    def __init__(
        self,
        *,
        on_sample: Callable[[Sample], None],
        is_busy: Callable[[str], bool],
        timeout_s: float = LOOK_S,
        on_look: OnLook | None = None,
    ) -> None:
        """Prepare.

        Args:
            is_busy: whether the uplink sends backlog over a line now.
            on_look: told what each look at a running ModemManager said: the devices of
                mobile lines by id, and what was said by device.
            timeout_s: what has not answered by then has failed; at most LOOK_S counts.
        """
        self._limit_s = min(timeout_s, LOOK_S)
        self._on_sample = on_sample
        self._is_busy = is_busy
        self._devices: dict[str, str] = {}
        self._memory = Memory()
        self._homes: dict[str, Home] = {}
        self._waiting: asyncio.Queue[_Running] = asyncio.Queue(ROUNDS_WAITING_MAX)
        self._running: set[_Running] = set()
        self._trouble = ""
        self._latest: dict[str, ModemDetail | None] = {}
        self._advice: dict[str, str] = {}
        self._given: dict[str, Given] = {}
        self._on_look = on_look

    def begin_round(self, round_ms: int, lines: Iterable[Line]) -> None:
        """Ask for a look for this round; lines seen once stay, also when their device is gone."""
        self._devices |= {line.id: line.device for line in lines if line.kind is LineKind.MOBILE}
        if not self._devices or self._waiting.full():
            return
        if not has_bus():
            self._note(NO_BUS)
            return
        running = _Running(clock.mono_ms(), round_ms)
        self._running.add(running)
        self._waiting.put_nowait(running)

    def safe_ms(self) -> int:
        """Return the time before which every look that began has ended."""
        return min((each.began_ms for each in self._running), default=clock.mono_ms())

    def operator(self, line: str) -> str | None:
        """Return the code of a line's home network, once its modem told it."""
        home = self._homes.get(line)
        return None if home is None else home.operator

    def latest(self) -> dict[str, ModemDetail | None]:
        """Return what was said last of each line that has a modem; None: no answer."""
        return dict(self._latest)

    def advice(self, line: str) -> str | None:
        """Return what a person can do about a line's SIM or modem, if anything."""
        return self._advice.get(line)

    def given(self) -> dict[str, Given]:
        """Return what came with each device's data session, as said last."""
        return dict(self._given)

    async def run(self) -> None:
        """Look at every round that begins, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._round(await self._waiting.get()))

    async def _round(self, running: _Running) -> None:
        try:
            said = await self._look()
        finally:
            self._running.discard(running)
        self._latest, self._advice, self._given = {}, {}, {}
        for line, device in self._devices.items():
            if device in said:
                self._tell(line, said[device], running)

    async def _look(self) -> dict[str, Said | None]:
        """Return what each device's modem said; nothing where nobody can tell."""
        try:
            said = await look(self._memory, now_s=clock.mono_s(), limit_s=self._limit_s)
        except TimeoutError:
            self._note("ModemManager does not answer")
            said = dict.fromkeys(self._memory.seen, Said(None))
            self._hand_on(said)
            return said
        except NoModemManagerError as error:
            self._note(str(error))
            return {}
        self._note("")
        self._hand_on(said)
        return said

    def _hand_on(self, said: Mapping[str, Said | None]) -> None:
        if self._on_look is not None:
            self._on_look(self._devices, said)

    def _tell(self, line: str, said: Said | None, running: _Running) -> None:
        detail: ModemDetail | None
        if said is None:
            detail = ModemDetail(present=False)
        elif said.values is None:
            detail = None
        else:
            detail = detail_of(said.values, use_quality=said.use_quality)
            home = home_of(self._homes.get(line), said.values)
            if home is not None:
                self._homes[line] = home
            self._given[self._devices[line]] = given_by(said.values.bearers)
            if (sentence := advice(said.values)) is not None:
                self._advice[line] = sentence
        self._latest[line] = detail
        self._on_sample(
            Sample(
                mono_ms=running.began_ms,
                slot_ms=running.round_ms,
                round_ms=running.round_ms,
                line=line,
                target=MODEM_TARGET,
                check=Check.MODEM,
                family=0,
                failure=TIMEOUT if detail is None else None,
                detail=detail,
                busy=self._is_busy(line),
            )
        )

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("modems_not_read", reason=trouble)
            else:
                log.info("modems_read")
