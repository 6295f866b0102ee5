"""What people read of a modem."""

import pytest

from linewatch_agent.modems.words import described, in_words
from linewatch_core.records import Bearer, ModemDetail, Registration, Sim

WELL = ModemDetail(
    sim=Sim.READY,
    registration=Registration.HOME,
    bearer=Bearer.UP,
    signal_dbm=-95,
    operator="00101",
    technology="lte",
)


@pytest.mark.parametrize(
    ("modem", "expected"),
    [
        (WELL, "registered at home, LTE, -95 dBm, data session up"),
        (ModemDetail(present=False), "no modem"),
        (ModemDetail(sim=Sim.MISSING, bearer=Bearer.DOWN), "SIM missing"),
        (ModemDetail(sim=Sim.LOCKED), "SIM locked: it waits for its PIN"),
        (None, "the modem does not answer"),
        (ModemDetail(), "the modem is starting"),
        (
            ModemDetail(sim=Sim.READY, registration=Registration.SEARCHING, bearer=Bearer.DOWN),
            "searching for a network, no data session",
        ),
        (
            ModemDetail(registration=Registration.DENIED, bearer=Bearer.REFUSED),
            "the network denies registration, data session refused",
        ),
        (
            ModemDetail(registration=Registration.ROAMING, technology="5g", bearer=Bearer.UP),
            "roaming, 5G, data session up",
        ),
        (ModemDetail(registration=Registration.IDLE), "not registered"),
    ],
)
def test_words(modem: ModemDetail | None, expected: str) -> None:
    """One phrase for each state."""
    assert in_words(modem) == expected


def test_data_for_machines_names_every_field() -> None:
    """Plain values beside the words; only words where the modem did not answer."""
    assert described(WELL) == {
        "words": "registered at home, LTE, -95 dBm, data session up",
        "present": True,
        "sim": "ready",
        "registration": "home",
        "bearer": "up",
        "signal_dbm": -95,
        "operator": "00101",
        "technology": "lte",
    }
    assert described(None) == {"words": "the modem does not answer"}
