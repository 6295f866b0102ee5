"""Drives the reset ladder of each line's modem: looks in, steps out, what was done recorded.

It hears what modems say, and nothing of what can be reached (plan/modem_ladder.py). A step
runs beside the rounds, one at a time on a machine, since ports share hubs. What was done
in a day is kept by the store, and a reboot waits until it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from linewatch_agent import clock
from linewatch_agent.modems.look import Said
from linewatch_agent.modems.steps import Patient, take
from linewatch_agent.modems.taken import decoded, encoded
from linewatch_agent.modems.trouble import session_trouble
from linewatch_agent.modems.usb import can_switch_power, is_plugged, usb_device_of
from linewatch_agent.modems.values import bearer_of, sim_of
from linewatch_agent.modems.words import reset_in_words
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.modem_ladder import (
    Ended,
    Ladder,
    LadderSettings,
    Looked,
    Take,
    Taken,
)
from linewatch_core.errors import LinewatchError
from linewatch_core.modem_words import Bearer, ModemStep, ModemTrouble, Sim
from linewatch_core.records import ModemReset

log = structlog.get_logger()


@dataclass(slots=True)
class _Case:
    """One line's modem.

    Attributes:
        was_up: it had a data session in this run.
        locked: its SIM was locked when it last said how it is. A modem that comes back is
            given its PIN again, so nothing is done to one that a PIN did not open.
    """

    ladder: Ladder
    patient: Patient
    was_up: bool = False
    locked: bool = False
    last: ModemReset | None = None


@dataclass(slots=True)
class Hands:
    """What a repair does to the machine; tests give others."""

    take: Callable[[ModemStep, Patient], Awaitable[bool]] = take
    usb_device_of: Callable[[str], str | None] = usb_device_of
    is_plugged: Callable[[str], bool] = is_plugged
    can_switch_power: Callable[[], bool] = can_switch_power


@dataclass(slots=True)
class _Due:
    line: str
    step: Take


class ModemRepair:
    """Sees to the modems of all lines, look after look."""

    def __init__(
        self,
        *,
        settings: LadderSettings | None,
        on_reset: Callable[[ModemReset], None],
        keep: Callable[[bytes], Awaitable[None]],
        kept: bytes | None = None,
        hands: Hands | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: None: modems are left alone.
            keep: writes durably what is `kept` at the next start.
        """
        self._settings = settings
        self._on_reset = on_reset
        self._keep = keep
        self._hands = hands or Hands()
        self._cases: dict[str, _Case] = {}
        self._earlier = decoded(kept, clock.mono_s())
        self._due: asyncio.Queue[_Due] = asyncio.Queue()
        self._busy = False

    def looked(
        self,
        devices: Mapping[str, str],
        said: Mapping[str, Said | None],
        lines: Iterable[Line],
        *,
        now_s: float,
    ) -> None:
        """Take in what one look at a running ModemManager said.

        Args:
            devices: of each mobile line, by id.
            said: by device, as `look` returned it.
            lines: all lines as found last.
        """
        if self._settings is None:
            return
        lines = list(lines)
        for line, device in devices.items():
            if device not in said and line not in self._cases:
                continue  # no modem of ModemManager's, such as a HiLink stick
            case = self._case(line, device)
            trouble = self._trouble(case, said.get(device))
            look = Looked(None)
            if trouble is not None:  # seldom: what could be done is not asked before
                shares_power = self._shares_power(line, lines)
                look = Looked(trouble, self._possible(case.patient), shares_power)
            for step in case.ladder.handle(look, now_s):
                self._due.put_nowait(_Due(line, step))

    def described(self, line: str) -> dict[str, Any] | None:
        """Return what was done last to a line's modem, for the status; None: nothing."""
        case = self._cases.get(line)
        if case is None or case.last is None:
            return None
        last = case.last
        return {
            "step": last.step.value,
            "trouble": last.trouble.value,
            "done": last.done,
            "words": reset_in_words(last),
            "ago_s": max(0, clock.mono_ms() - last.mono_ms) // 1000,
        }

    async def run(self) -> None:
        """Take the steps that become due, for ever."""
        while True:
            due = await self._due.get()
            case, self._busy = self._cases[due.line], True
            try:
                if case.ladder.trouble is not None:  # it waited for another modem's step
                    await self._take(due, case)
            finally:
                case.ladder.handle(Ended(), clock.mono_s())
                self._busy = False

    async def _take(self, due: _Due, case: _Case) -> None:
        step, began_ms = due.step.step, clock.mono_ms()
        tell = partial(ModemReset, began_ms, due.line, step, due.step.trouble)
        kept = await self._write()
        if step is ModemStep.REBOOT:
            # Told before it: afterwards nobody is there. Unwritten, it could come every day.
            case.last = tell(kept)
            self._on_reset(case.last)
            log.warning("modem_reset", line=due.line, step=step.value, done=kept)
            if kept:
                await self._hands.take(step, case.patient)
            return
        done = await self._hands.take(step, case.patient)
        case.last = tell(done)
        log.warning("modem_reset", line=due.line, step=step.value, done=done)
        self._on_reset(case.last)

    async def _write(self) -> bool:
        now_s = clock.mono_s()
        try:
            await self._keep(encoded(self._taken(now_s), now_s))
        except (LinewatchError, OSError) as error:
            log.warning("modem_resets_not_kept", reason=str(error))
            return False
        return True

    def _taken(self, now_s: float) -> dict[str, list[Taken]]:
        """Return the last day's steps by line, also of lines that have not come back yet."""
        return self._earlier | {
            line: case.ladder.taken(now_s) for line, case in self._cases.items()
        }

    def _case(self, line: str, device: str) -> _Case:
        usb = self._hands.usb_device_of(device)
        case = self._cases.get(line)
        if case is None:
            assert self._settings is not None
            ladder = Ladder(self._settings, self._earlier.get(line, ()))
            case = self._cases[line] = _Case(ladder, Patient(device, usb))
        elif usb is not None or device != case.patient.device:
            case.patient = Patient(device, usb)  # one that is gone hung where it was seen last
        return case

    def _trouble(self, case: _Case, said: Said | None) -> ModemTrouble | None:
        if said is None or said.values is None:
            if case.locked:
                return None
            return ModemTrouble.GONE if said is None else ModemTrouble.SILENT
        case.locked = sim_of(said.values) is Sim.LOCKED
        case.was_up = case.was_up or bearer_of(said.values.bearers) is Bearer.UP
        return session_trouble(said.values, was_up=case.was_up)

    def _possible(self, patient: Patient) -> frozenset[ModemStep]:
        possible = set(ModemStep) - {ModemStep.USB, ModemStep.POWER}
        taken = self._taken(clock.mono_s()).values()
        rebooted = any(each.step is ModemStep.REBOOT for steps in taken for each in steps)
        if rebooted or any(case.locked for case in self._cases.values()):
            # Once a day for the machine, not for each modem; never where a PIN would be tried.
            possible.discard(ModemStep.REBOOT)
        if patient.usb is not None and self._hands.is_plugged(patient.usb):
            possible.add(ModemStep.USB)
        if patient.usb is not None and self._hands.can_switch_power():
            possible.add(ModemStep.POWER)
        return frozenset(possible)

    def _shares_power(self, line: str, lines: list[Line]) -> bool:
        """Return whether another line that can be measured hangs on USB: ports are ganged."""
        return any(
            each.id != line and each.usable and self._hands.usb_device_of(each.device) is not None
            for each in lines
        )
