"""Whether a modem itself hangs or failed: what alone may lead to its being reset.

Pure. What can be reached over the line is no argument here, so it can't count. Nor does
anything that the network says: a refusal, no packet service, no registration, roaming; or
a SIM that a person must see to. In a shutdown the modem is fine.
"""

from linewatch_agent.modems.values import ModemValues, bearer_of, registration_of, sim_of
from linewatch_core.modem_words import Bearer, ModemTrouble, Registration, Sim

_DETACHED = 1


def session_trouble(values: ModemValues, *, was_up: bool) -> ModemTrouble | None:
    """Return SESSION if the data session failed though the network would serve it.

    Args:
        values: what the modem said.
        was_up: it had a session before; without one, and without a failed attempt,
            nobody may have asked for any.
    """
    if sim_of(values) is not Sim.READY or registration_of(values) is not Registration.HOME:
        return None
    if values.packet_service == _DETACHED or bearer_of(values.bearers) is not Bearer.DOWN:
        return None
    tried = any(each.error for each in values.bearers or ())
    return ModemTrouble.SESSION if was_up or tried else None
