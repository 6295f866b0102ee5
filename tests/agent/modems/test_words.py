"""What people read of a modem."""

import pytest

from linewatch_agent.modems.words import described, in_words, reset_in_words
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
        (ModemDetail(sim=Sim.LOCKED), "SIM locked"),
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
        (
            ModemDetail(
                registration=Registration.HOME,
                bearer=Bearer.DOWN,
                packet_service=PacketService.DETACHED,
            ),
            "registered at home, the network serves it no data, no data session",
        ),
        (
            ModemDetail(registration=Registration.SEARCHING, packet_service=PacketService.DETACHED),
            "searching for a network",
        ),
    ],
)
def test_words(modem: ModemDetail | None, expected: str) -> None:
    """One phrase for each state."""
    assert in_words(modem) == expected


def test_data_for_machines_names_every_field() -> None:
    """Plain values beside the words; only words where the modem did not answer."""
    assert described(WELL) == {
        "words": "registered at home, LTE, -95 dBm, data session up",
        "advice": None,
        "present": True,
        "sim": "ready",
        "registration": "home",
        "bearer": "up",
        "signal_dbm": -95,
        "operator": "00101",
        "technology": "lte",
        "packet_service": None,
    }
    assert described(None, advice="Do it.") == {
        "words": "the modem does not answer",
        "advice": "Do it.",
    }


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        (
            ModemReset(1, "mobile-1", ModemStep.USB, ModemTrouble.GONE, True),
            "since it was gone, its USB device was taken from its drivers and given back",
        ),
        (
            ModemReset(1, "mobile-1", ModemStep.RESET, ModemTrouble.SESSION, False),
            "its data session had failed; this was tried and failed: it was reset",
        ),
    ],
)
def test_what_was_done_to_a_modem_is_said(reset: ModemReset, expected: str) -> None:
    """With why, and whether it could be done."""
    assert reset_in_words(reset) == expected


def test_every_step_and_every_trouble_has_words() -> None:
    """A step added to the records is not left without."""
    for step in ModemStep:
        for trouble in ModemTrouble:
            assert reset_in_words(ModemReset(1, "mobile-1", step, trouble, True))
