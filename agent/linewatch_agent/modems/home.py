"""Which operator a line belongs to, as its modem tells: the network where it is at home.

Pure. Invariant: while the SIM stays, the operator stays. Roaming, an equivalent home
network, a lost network or a modem that says nothing change nothing.
"""

from dataclasses import dataclass

from linewatch_agent.modems.values import ModemValues, operator_of, registration_of
from linewatch_core.modem_words import Registration


@dataclass(frozen=True, slots=True)
class Home:
    """The home network's code, and the SIM's object path when it was learned."""

    operator: str
    sim: str | None


def home_of(known: Home | None, values: ModemValues) -> Home | None:
    """Return the home network after a modem said something.

    ModemManager gives a SIM a new path when it, or its modem, was put in anew; only then
    may another network become home. Who the SIM is, nobody asks.
    """
    operator = operator_of(values.operator)
    if operator is None or registration_of(values) is not Registration.HOME:
        return known
    if known is not None and known.sim == values.sim:
        return known
    return Home(operator, values.sim)
