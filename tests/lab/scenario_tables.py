"""What a scenario's TOML file may hold: tables, keys and types. Rules are in scenario_file.py."""

from datetime import datetime

import msgspec

from linewatch_core.records import LineKind
from tests.lab.knobs import Knob, Options
from tests.lab.scenario import Fault


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class EventTable(_Table, frozen=True, kw_only=True):
    """[[event]]: a knob or a fault, from `begins` to `ends` (default: the scenario's end)."""

    begins: datetime
    ends: datetime | None = None
    knob: Knob | None = None
    fault: Fault | None = None
    operator: str | None = None
    kind: LineKind | None = None
    options: Options = Options()
    note: str = ""


class TruthTable(_Table, frozen=True, kw_only=True):
    """[[truth]]: the state of lines, or of a target on them, from `begins` to `ends`.

    `without_modem` is what can be known where no modem speaks (lines over plain devices).
    """

    begins: datetime
    ends: datetime
    state: str
    operator: str | None = None
    kind: LineKind | None = None
    target: str | None = None
    without_modem: str | None = None


class ScenarioTable(_Table, frozen=True, kw_only=True):
    """The whole file."""

    name: str
    about: str
    begins: datetime
    ends: datetime
    event: tuple[EventTable, ...] = ()
    truth: tuple[TruthTable, ...] = ()
    source: str = ""
    suspected_shutdown: bool = False
    probes: int = 1
