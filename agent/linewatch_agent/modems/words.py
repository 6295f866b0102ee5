"""What a modem said, in words for people and as JSON-able data. Pure."""

from typing import Any

import msgspec

from linewatch_core.modem_words import (
    Bearer,
    ModemDetail,
    ModemStep,
    ModemTrouble,
    PacketService,
    Registration,
    Sim,
)
from linewatch_core.records import ModemReset

_SIM = {Sim.MISSING: "SIM missing", Sim.LOCKED: "SIM locked"}
_REGISTRATION = {
    Registration.HOME: "registered at home",
    Registration.ROAMING: "roaming",
    Registration.SEARCHING: "searching for a network",
    Registration.DENIED: "the network denies registration",
    Registration.IDLE: "not registered",
}
_BEARER = {
    Bearer.UP: "data session up",
    Bearer.DOWN: "no data session",
    Bearer.REFUSED: "data session refused",
}


def in_words(modem: ModemDetail | None) -> str:
    """Return one phrase; None is a modem that did not answer."""
    if modem is None:
        return "the modem does not answer"
    if not modem.present:
        return "no modem"
    if modem.sim in _SIM:
        return _SIM[modem.sim]
    parts = (
        _REGISTRATION.get(modem.registration) if modem.registration else None,
        modem.technology.upper() if modem.technology else None,
        None if modem.signal_dbm is None else f"{modem.signal_dbm} dBm",
        "the network serves it no data" if _is_detached(modem) else None,
        _BEARER.get(modem.bearer) if modem.bearer else None,
    )
    return ", ".join(part for part in parts if part) or "the modem is starting"


def _is_detached(modem: ModemDetail) -> bool:
    """Return whether the network takes the modem and serves it no data: that is news."""
    registered = modem.registration in (Registration.HOME, Registration.ROAMING)
    return registered and modem.packet_service is PacketService.DETACHED


def described(modem: ModemDetail | None, *, advice: str | None = None) -> dict[str, Any]:
    """Return the fields of ModemDetail by name (none where it did not answer), and `words`.

    Args:
        advice: what a person can do about it, as advice.py says it.
    """
    fields = {} if modem is None else msgspec.structs.asdict(modem)
    return {"words": in_words(modem), "advice": advice, **msgspec.to_builtins(fields)}


_STEP = {
    ModemStep.RECONNECT: "its data session was made anew",
    ModemStep.RADIO: "its radio was switched off and on",
    ModemStep.RESET: "it was reset",
    ModemStep.USB: "its USB device was taken from its drivers and given back",
    ModemStep.POWER: "its USB port was without power for a moment",
    ModemStep.REBOOT: "the probe was started anew",
}
_TROUBLE = {
    ModemTrouble.GONE: "it was gone",
    ModemTrouble.SILENT: "it did not answer",
    ModemTrouble.SESSION: "its data session had failed",
}


def reset_in_words(reset: ModemReset) -> str:
    """Return what was done to a modem, and why."""
    if not reset.done:
        return f"{_TROUBLE[reset.trouble]}; this was tried and failed: {_STEP[reset.step]}"
    return f"since {_TROUBLE[reset.trouble]}, {_STEP[reset.step]}"
