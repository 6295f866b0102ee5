"""A country with its programs and modems, on which a scenario's knobs and faults are made.

Every fault here is the real thing: a program killed, a file taken away, a modem that
says something else, a wall clock that lies to the agent alone.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.modem_words import Bearer, Registration
from linewatch_core.records import LineKind
from tests.lab.agent_config import Pace, agent_config
from tests.lab.country import Country
from tests.lab.knobs import Knob
from tests.lab.modems import Modems
from tests.lab.plan import LinePlan
from tests.lab.player import Step, turn
from tests.lab.programs import Backup, Programs, wipe_broker
from tests.lab.scenario import Event, Fault, Scenario
from tests.lab.targets import PAIRS, PAIRS_IF_SLOW
from tests.lab.wall_clock import Lie

DELAYS, RATES = 0.15, 4.0
"""Rounds are 30 times as dense as in life, so the country is nearer and its lines are faster:
a check must not take several rounds, nor a round's checks fill a line."""
DISK_MB = 48
NO_BUS = "unix:path=/nonexistent"
REFUSED = {
    Fault.READ_ONLY_DISK: "a disk with open files does not become read-only from outside",
}
LIES = {Fault.CLOCK_1970: Lie.FROM_1970, Fault.CLOCK_AHEAD: Lie.AHEAD}
SERVER_AWAY = frozenset({Fault.BROKER_DOWN, Fault.COLLECTOR_DOWN})
_RADIO = "radio"


class CannotPlayError(ConfigError):
    """A scenario asks for what the lab can't do honestly."""


def demand_playable(scenario: Scenario) -> None:
    """Raise CannotPlayError, saying why, if the lab can't make a scenario's faults."""
    for event in scenario.events:
        if isinstance(event.what, Fault) and event.what in REFUSED:
            reason = REFUSED[event.what]
            raise CannotPlayError(
                scenario.name,
                f"cannot play {event.what}: {reason}; play it with `make sim`",
            )


class Stage:
    """Everything of one run: enter it and all is running; leave it and all is gone."""

    country: Country
    programs: Programs
    modems: Modems | None = None

    def __init__(
        self, scenario: Scenario, *, seed: int | None, pace: Pace, with_modems: bool = True
    ) -> None:
        """Prepare a stage for a scenario; without modems mobile lines are plain devices.

        Raises:
            CannotPlayError: it has a fault that the lab can't make.
            RuntimeError: not root, or a tool is missing.
        """
        demand_playable(scenario)
        self.country = Country(seed=seed, delays=DELAYS, rates=RATES)
        self.pace = pace
        self._with_modems = with_modems
        self._what = {event.what for event in scenario.events}
        self._ends = ExitStack()

    def __enter__(self) -> "Stage":
        with ExitStack() as ends:
            ends.enter_context(self.country)
            if self._with_modems:
                self.modems = Modems.start(self.country.folder, self.country.plan)
                ends.callback(self.modems.stop)
            self.programs = Programs(self.country, round_s=self.pace.round_s)
            ends.callback(self.programs.stop_all)
            self._start()
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()

    def _start(self) -> None:
        pairs = PAIRS_IF_SLOW if Knob.THROTTLE_SNI in self._what else PAIRS
        config = agent_config(self.country.plan, self.pace, pairs=pairs)
        address = NO_BUS if self.modems is None else self.modems.address
        bus = {"DBUS_SYSTEM_BUS_ADDRESS": address}
        disk_mb = DISK_MB if Fault.FULL_DISK in self._what else None
        own_clock = bool(self._what & LIES.keys())
        self.programs.set_up(config, agent_env=bus, disk_mb=disk_mb, own_clock=own_clock)
        self.programs.start_broker()
        self.programs.start_server()
        self.programs.start_agent()

    def make(self, step: Step) -> None:
        """Turn a knob or a fault, on or back; returns when it is so."""
        event = step.event
        if isinstance(event.what, Knob):
            turn(self.country, step)
            if event.what is Knob.BEARER_REFUSED:
                self._tell_modems(event, step.begins, bearer=Bearer.REFUSED)
            return
        if event.what in _MODEM_FAULTS:
            self._modem(event, step.begins)
        else:
            self._program(event.what, step.begins)

    def keep_copy(self) -> None:
        """Keep what the server has now, if the scenario is going to restore it."""
        if Fault.SERVER_RESTORED in self._what:
            self.programs.stop("server")
            self.programs.stop("broker")
            Backup(self.programs.server).take()
            self.programs.start_broker()
            self.programs.start_server()

    def _program(self, fault: Fault, begins: bool) -> None:
        programs = self.programs
        match fault, begins:
            case Fault.POWER_CUT, True:
                programs.kill("agent")
            case Fault.POWER_CUT, False:
                programs.start_agent()
            case Fault.BROKER_DOWN, True:
                programs.stop("broker")
            case Fault.BROKER_DOWN, False:
                programs.start_broker()
            case Fault.BROKER_WIPED, True:
                programs.kill("broker")
                wipe_broker(programs.server)
                programs.start_broker()
            case Fault.COLLECTOR_DOWN, True:
                programs.stop("server")
            case Fault.COLLECTOR_DOWN, False:
                programs.start_server()
            case Fault.SERVER_RESTORED, True:
                programs.kill("server")
                programs.stop("broker")
                Backup(programs.server).restore()
                programs.start_broker()
                programs.start_server()
            case ((Fault.CLOCK_1970 | Fault.CLOCK_AHEAD), _):
                assert programs.clock is not None
                programs.clock.set(LIES[fault] if begins else Lie.NONE)
            case Fault.FULL_DISK, True:
                programs.disk.fill()
            case Fault.FULL_DISK, False:
                programs.disk.clear()

    def _modem(self, event: Event, begins: bool) -> None:
        lines = self._mobile(event)
        match event.what:
            case Fault.MODEM_GONE:
                self._tell_modems(event, begins, present=False)
                for line in lines:
                    self.country.plug(line, there=not begins)
            case Fault.MODEM_HUNG:
                self._tell_modems(event, begins, hung=True)
            case Fault.RADIO_LOST:
                self._tell_modems(event, begins, registration=Registration.SEARCHING)
                change = self.country.apply if begins else self.country.clear
                for line in lines:
                    change(
                        Knob.CUT,
                        operator=line.operator,
                        kind=line.kind,
                        label=f"{_RADIO}-{event.label}",
                    )

    def _tell_modems(self, event: Event, begins: bool, **facts: Any) -> None:
        if self.modems is None:
            return
        for line in self._mobile(event):
            if begins:
                self.modems.set(line.id, **facts)
            else:
                self.modems.ok(line.id)

    def _mobile(self, event: Event) -> tuple[LinePlan, ...]:
        lines = self.country.plan.lines_of(event.operator, event.kind)
        return tuple(line for line in lines if line.kind is LineKind.MOBILE)


_MODEM_FAULTS = frozenset({Fault.MODEM_GONE, Fault.MODEM_HUNG, Fault.RADIO_LOST})
