"""What a modem said, in words for people and as JSON-able data. Pure."""

from typing import Any

import msgspec

from linewatch_core.records import Bearer, ModemDetail, Registration, Sim

_SIM = {Sim.MISSING: "SIM missing", Sim.LOCKED: "SIM locked: it waits for its PIN"}
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
        _BEARER.get(modem.bearer) if modem.bearer else None,
    )
    return ", ".join(part for part in parts if part) or "the modem is starting"


def described(modem: ModemDetail | None) -> dict[str, Any]:
    """Return the fields of ModemDetail by name (none where it did not answer), and `words`."""
    fields = {} if modem is None else msgspec.structs.asdict(modem)
    return {"words": in_words(modem), **msgspec.to_builtins(fields)}
