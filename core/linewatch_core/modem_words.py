"""What is said of a modem: its state in a round, what troubles it, and what is done to it."""

from enum import StrEnum

from linewatch_core.written import Struct

MODEM_TARGET = "modem"
"""What the samples of the modem check stand under; no configured target may be called so."""


class Sim(StrEnum):
    """What the modem says of its SIM."""

    READY = "ready"
    MISSING = "missing"
    LOCKED = "locked"


class Registration(StrEnum):
    """Where the modem is registered (3GPP TS 27.007, +CREG)."""

    HOME = "home"
    ROAMING = "roaming"
    SEARCHING = "searching"
    DENIED = "denied"
    IDLE = "idle"


class Bearer(StrEnum):
    """How the data session stands; `refused`: the network said no to the last attempt."""

    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


class PacketService(StrEnum):
    """Whether the network serves data at all (3GPP TS 27.007, +CGATT)."""

    ATTACHED = "attached"
    DETACHED = "detached"


class ModemTrouble(StrEnum):
    """What a modem is reset for; that nothing can be reached is none of it.

    `gone`: it was there, and no longer is; `silent`: it does not answer; `session`: its
    data session failed, and not by the network's word.
    """

    GONE = "gone"
    SILENT = "silent"
    SESSION = "session"


class ModemStep(StrEnum):
    """What is done to a modem, the mildest first.

    `radio`: its radio is switched off and on; `usb`: its USB device is taken from its
    drivers and given back; `power`: its USB port is without power for a moment;
    `reboot`: the probe is started anew.
    """

    RECONNECT = "reconnect"
    RADIO = "radio"
    RESET = "reset"
    USB = "usb"
    POWER = "power"
    REBOOT = "reboot"


class ModemDetail(Struct, tag="modem", frozen=True):
    """What a line's modem said in a round; None where it said nothing.

    Attributes:
        present: there is a modem; if not, all else is None.
        signal_dbm: the reference signal's power (RSRP), else the whole channel's (RSSI).
        operator: the network's country and network code (MCC and MNC, 5 or 6 digits).
        technology: of the access, such as `lte`.
        packet_service: whether the network serves it data, with or without a session.
    """

    present: bool = True
    sim: Sim | None = None
    registration: Registration | None = None
    bearer: Bearer | None = None
    signal_dbm: int | None = None
    operator: str | None = None
    technology: str | None = None
    packet_service: PacketService | None = None
