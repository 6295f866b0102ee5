"""Which step to take when one modem hangs or failed, and when: the milder ones first.

Pure: `handle(event, now_s)` returns what to do. It hears of the modem alone, never of what
can be reached, so it can't act for an outage's sake. It needs no timer: every round looks.
Invariants: no step without a trouble that lasted; at most `steps_a_day` in any 24 hours of
running, also over restarts; a reboot only if configured, once a day, never for a session.
Source: docs/decisions/0022.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from linewatch_agent.plan.settings import ModemsConfig
from linewatch_core.modem_words import ModemStep, ModemTrouble

STEPS = {
    ModemTrouble.SESSION: (ModemStep.RECONNECT, ModemStep.RADIO, ModemStep.RESET),
    ModemTrouble.SILENT: (ModemStep.RESET, ModemStep.USB, ModemStep.POWER, ModemStep.REBOOT),
    ModemTrouble.GONE: (ModemStep.USB, ModemStep.POWER, ModemStep.REBOOT),
}
"""In this order, then from the first again. What needs the modem to answer is of no use to
one that doesn't; and one that answers needs no harder step than its own reset."""

PATIENCE_S = {ModemTrouble.SESSION: 300.0, ModemTrouble.SILENT: 120.0, ModemTrouble.GONE: 180.0}
"""How long a trouble must last: NetworkManager reconnects by itself, a modem takes a minute
to come back after a power cut of its own."""
BACKOFF_S, BACKOFF_MAX_S = 180.0, 3600.0
"""The wait after the first step, doubled after each further one; a modem takes its minute."""
WELL_S = 600.0
"""So long without trouble, and the next one begins at the first step again."""
DAY_S = 86_400.0
A_DAY = {
    ModemStep.RECONNECT: 4,
    ModemStep.RADIO: 3,
    ModemStep.RESET: 2,
    ModemStep.USB: 2,
    ModemStep.POWER: 1,
    ModemStep.REBOOT: 1,
}
"""How often each step may be taken in a day, whatever `steps_a_day` says."""


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """What [modems] of the configuration allows."""

    steps_a_day: int = 6
    reboot: bool = False


def ladder_settings(config: ModemsConfig) -> LadderSettings | None:
    """Return what the configuration allows; None: modems are left alone."""
    return LadderSettings(config.steps_a_day, config.reboot) if config.reset else None


@dataclass(frozen=True, slots=True)
class Looked:
    """A look at the modem.

    Attributes:
        trouble: what is wrong with it, or None.
        possible: the steps that this machine can take now.
        shares_power: a line that works would lose its power with this modem's port.
    """

    trouble: ModemTrouble | None
    possible: frozenset[ModemStep] = frozenset(ModemStep)
    shares_power: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The step that was asked for has ended, whether it could be carried out or not."""


@dataclass(frozen=True, slots=True)
class Take:
    """Take this step now."""

    step: ModemStep
    trouble: ModemTrouble


Event: TypeAlias = Looked | Ended


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken, and when."""

    step: ModemStep
    at_s: float


class Ladder:
    """What was done to one modem, and what is to be done next."""

    def __init__(self, settings: LadderSettings, taken: Sequence[Taken] = ()) -> None:
        """Begin; `taken` is what an earlier run did in its last day."""
        self._settings = settings
        self._taken = list(taken)
        self._trouble: ModemTrouble | None = None
        self._since_s = 0.0
        self._not_before_s = 0.0
        self._episode: list[ModemStep] = []
        self._running = False

    @property
    def trouble(self) -> ModemTrouble | None:
        """What is wrong with the modem, as the last look said."""
        return self._trouble

    def taken(self, now_s: float) -> list[Taken]:
        """Return the steps of the last day, oldest first."""
        return [each for each in self._taken if now_s - each.at_s < DAY_S]

    def handle(self, event: Event, now_s: float) -> list[Take]:
        """Return the step to take now, if one is due."""
        match event:
            case Ended():
                # What is wrong now must last anew: the step itself made the modem go.
                self._running, self._since_s = False, now_s
                self._not_before_s = now_s + self._backoff_s()
                return []
            case Looked():
                return self._looked(event, now_s)

    def _looked(self, look: Looked, now_s: float) -> list[Take]:
        if look.trouble is not self._trouble:
            self._trouble, self._since_s = look.trouble, now_s
        if look.trouble is None:
            if now_s - self._since_s >= WELL_S and not self._running:
                self._episode.clear()
            return []
        patient = now_s - self._since_s < PATIENCE_S[look.trouble]
        if self._running or patient or now_s < self._not_before_s:
            return []
        step = self._next(look, look.trouble, now_s)
        if step is None:
            return []
        self._running = True
        self._episode.append(step)
        self._taken = [*self.taken(now_s), Taken(step, now_s)]
        return [Take(step, look.trouble)]

    def _next(self, look: Looked, trouble: ModemTrouble, now_s: float) -> ModemStep | None:
        """Return the first allowed step after the last one, round and round; None: none is."""
        taken = [each.step for each in self.taken(now_s)]
        if len(taken) >= self._settings.steps_a_day:
            return None
        steps = STEPS[trouble]
        last = next((each for each in reversed(self._episode) if each in steps), None)
        begin = 0 if last is None else steps.index(last) + 1
        for step in (*steps[begin:], *steps[:begin]):
            if taken.count(step) < A_DAY[step] and self._may(step, look):
                return step
        return None

    def _may(self, step: ModemStep, look: Looked) -> bool:
        if step not in look.possible:
            return False
        if step is ModemStep.POWER:
            return not look.shares_power
        if step is ModemStep.REBOOT:
            # Never the first thing to do: a modem that somebody pulled out comes back by none.
            return self._settings.reboot and bool(self._episode)
        return True

    def _backoff_s(self) -> float:
        return min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** (len(self._episode) - 1))
