"""What each knob does to which checks: the simulation's model of a censor, as tables.

Pure data. Packets are not simulated, so this says of every check how it ends while
a knob is turned (tests/lab/censor.py does it to packets). A later effect of a list
wins over an earlier one; where several knobs concern a check, so does the table's
later knob. What an outcome looks like as a sample is in outcomes.py.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from linewatch_core.modem_words import Bearer, Registration
from linewatch_core.records import Check
from tests.lab.knobs import Knob
from tests.lab.scenario import Fault


class Scope(StrEnum):
    """Whom an effect concerns, of the hosts behind a line's gateway."""

    LINE = "line"
    ABROAD = "abroad"
    UNLISTED = "unlisted"
    SITES = "sites"
    NAMES = "names"


class Fate(StrEnum):
    """How a check ends."""

    FINE = "fine"
    SILENT = "silent"
    RESET = "reset"
    DROPPED = "dropped"
    BLOCK_PAGE = "block_page"
    SPOOFED = "spoofed"
    MISLED = "misled"
    ROTATED = "rotated"
    SLOW = "slow"
    INTERCEPTED = "intercepted"
    HANGING = "hanging"
    MISTIMED = "mistimed"
    PORTAL = "portal"


def _silent_modem(*, present: bool) -> dict[str, Any]:
    said = ("sim", "registration", "bearer", "signal_dbm", "operator", "technology")
    return {"present": present, **dict.fromkeys(said)}


@dataclass(frozen=True, slots=True)
class Effect:
    """These checks of whom `scope` says end so."""

    scope: Scope
    checks: frozenset[Check]
    fate: Fate


ALL = frozenset(Check)
UDP = frozenset({Check.DNS, Check.RANDOM_NAME})
ICMP = frozenset({Check.ICMP})
TLS = frozenset({Check.HTTP, Check.SNI})
NAMED = frozenset({Check.DNS, Check.RANDOM_NAME})
PORTALS = frozenset({Check.PORTAL, Check.RANDOM_NAME})
VIA_NAME = frozenset({Check.TCP, Check.ICMP, Check.HTTP, Check.NEIGHBOUR})
"""Checks that go to the address that the line's resolver gives."""

EFFECTS: dict[Knob, tuple[Effect, ...]] = {
    Knob.THROTTLE_SNI: (Effect(Scope.NAMES, TLS, Fate.SLOW),),
    Knob.THROTTLE_ALL: (),
    Knob.LOSSY: (),
    Knob.NTP_BLOCKED: (),
    Knob.NTP_LYING: (),
    Knob.BROKER_BLOCKED: (),
    Knob.CDN_ROTATION: (Effect(Scope.NAMES, NAMED | VIA_NAME, Fate.ROTATED),),
    Knob.HTTP_BLOCK_PAGE: (Effect(Scope.NAMES, frozenset({Check.HOST}), Fate.BLOCK_PAGE),),
    Knob.HTTP_RESET: (Effect(Scope.NAMES, frozenset({Check.HOST}), Fate.RESET),),
    Knob.SNI_RESET: (Effect(Scope.NAMES, TLS, Fate.RESET),),
    Knob.SNI_DROP: (Effect(Scope.NAMES, TLS, Fate.DROPPED),),
    Knob.TLS_INTERCEPT: (Effect(Scope.LINE, TLS, Fate.INTERCEPTED),),
    Knob.DNS_SPOOF: (
        Effect(Scope.NAMES, VIA_NAME, Fate.MISLED),
        Effect(Scope.NAMES, NAMED | {Check.CONTRAST}, Fate.SPOOFED),
    ),
    Knob.TARPIT: (Effect(Scope.SITES, TLS | {Check.HOST, Check.THROUGHPUT}, Fate.HANGING),),
    Knob.BLACKHOLE: (Effect(Scope.SITES, ALL, Fate.SILENT),),
    Knob.SITE_DOWN: (Effect(Scope.SITES, ALL, Fate.SILENT),),
    Knob.PORTAL: (
        Effect(Scope.LINE, ALL - NAMED - PORTALS, Fate.SILENT),
        Effect(Scope.LINE, NAMED | PORTALS, Fate.PORTAL),
    ),
    Knob.UDP_ONLY: (Effect(Scope.LINE, ALL - UDP, Fate.SILENT),),
    Knob.ICMP_ONLY: (Effect(Scope.LINE, ALL - ICMP, Fate.SILENT),),
    Knob.ALLOW_LIST: (Effect(Scope.UNLISTED, ALL, Fate.SILENT),),
    Knob.INTL_CUT: (Effect(Scope.ABROAD, ALL, Fate.SILENT),),
    Knob.CUT: (Effect(Scope.LINE, ALL, Fate.SILENT),),
    Knob.BEARER_REFUSED: (Effect(Scope.LINE, ALL, Fate.SILENT),),
    Knob.LINK_DOWN: (Effect(Scope.LINE, ALL, Fate.SILENT),),
}

WRONG_CLOCKS = frozenset({Fault.CLOCK_1970, Fault.CLOCK_AHEAD})
FAULTS: dict[Fault, tuple[Effect, ...]] = {
    clock: (Effect(Scope.LINE, frozenset({Check.HTTP, Check.CONTRAST}), Fate.MISTIMED),)
    for clock in WRONG_CLOCKS
}
"""By a wrong clock every certificate is out of its time; an alternation takes that for an
answer, and nothing else looks at certificates."""

FIXED_PROBLEMS: dict[Knob | Fault, tuple[str, ...]] = {Knob.LINK_DOWN: ("no_carrier",)}
MOBILE_PROBLEMS: dict[Knob | Fault, tuple[str, ...]] = {
    Knob.BEARER_REFUSED: ("no_address", "no_route"),
    Knob.LINK_DOWN: ("down",),
    Fault.MODEM_GONE: ("device_gone",),
}
"""What the line watcher says of a line's device meanwhile."""

MODEM: dict[Knob | Fault, dict[str, Any]] = {
    Knob.BEARER_REFUSED: {"bearer": Bearer.REFUSED},
    Fault.MODEM_GONE: _silent_modem(present=False),
    Fault.MODEM_HUNG: _silent_modem(present=True),
    Fault.RADIO_LOST: {"registration": Registration.SEARCHING, "signal_dbm": None},
}
"""What a modem says otherwise meanwhile; without: SIM ready, registered at home, bearer up."""

SERVER_AWAY = frozenset({Fault.BROKER_DOWN, Fault.BROKER_WIPED, Fault.SERVER_RESTORED})
"""Those for whose length nobody takes a connection."""
SIMULATED = (
    SERVER_AWAY
    | WRONG_CLOCKS
    | {Fault.COLLECTOR_DOWN, Fault.POWER_CUT, Fault.MODEM_GONE, Fault.MODEM_HUNG, Fault.RADIO_LOST}
)
"""Faults that the simulation can make."""
