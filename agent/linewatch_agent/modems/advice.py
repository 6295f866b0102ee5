"""What a person can do about a SIM or a modem that is not ready, in a sentence.

Pure. Nobody but a person enters a PIN: where one failed, another try may lock the SIM for
good, so neither the agent nor a reset ever leads to one. Source: MMModemLock and
MMModemStateFailedReason of ModemManager 1.20.
"""

from linewatch_agent.modems.values import ModemValues, sim_of
from linewatch_core.modem_words import Sim

_STATE_FAILED = -1
_SIM_PIN, _SIM_PUK = 2, 4
_DEVICE_LOCKS = range(6, 17)
"""Locks of the modem itself: to an operator, a company, its first SIM."""
_SIM_ERROR, _NO_PROFILE = 3, 5

PIN = (
    "The SIM waits for its PIN: write it as `pin` into linewatch.toml on the boot partition, or "
    "take the PIN off in a phone. A PIN that was wrong is never tried again."
)
PUK = "The SIM is locked after wrong PINs: unlock it with its PUK in a phone."
OTHER_LOCK = "The modem takes this SIM only with a code of its seller: use another modem or SIM."
NO_SIM = "There is no SIM in the modem, or it lies askew: put one in."
BAD_SIM = "The SIM can't be read: take it out, clean it, put it in again, or use another one."
NO_PROFILE = "The modem's eSIM has no operator's profile: have one loaded."
FAILED = "The modem failed to start: unplug it and plug it in again."


def advice(values: ModemValues) -> str | None:
    """Return what to do, or None where nothing is wrong that a person could mend."""
    match sim_of(values):
        case Sim.LOCKED:
            return _of_lock(values.unlock_required or 0)
        case Sim.MISSING:
            reasons = {_SIM_ERROR: BAD_SIM, _NO_PROFILE: NO_PROFILE}
            return reasons.get(values.failed_reason or 0, NO_SIM)
        case _:
            return FAILED if values.state == _STATE_FAILED else None


def _of_lock(lock: int) -> str:
    if lock == _SIM_PUK:
        return PUK
    return OTHER_LOCK if lock in _DEVICE_LOCKS else PIN
