"""Step tables: what ModemManager's numbers mean."""

from dataclasses import replace
from typing import Any

import pytest

from linewatch_agent.modems.values import (
    BearerValues,
    ModemValues,
    bearer_of,
    detail_of,
    is_refusal,
    operator_of,
    power_dbm,
    quality_dbm,
    registration_of,
    sim_of,
    technology_of,
)
from linewatch_core.modem_words import Bearer, ModemDetail, Registration, Sim

SIM_PATH = "/org/freedesktop/ModemManager1/SIM/0"
CONNECTED = ModemValues(
    state=11,
    failed_reason=0,
    unlock_required=1,
    sim=SIM_PATH,
    registration=1,
    operator="00101",
    technologies=1 << 14,
    quality_percent=60,
    signals={"Lte": {"rsrp": -101.4, "rssi": -70.0, "snr": 8.0}},
    bearers=(BearerValues(connected=True),),
)
ERROR = "org.freedesktop.ModemManager1.Error"
UNKNOWN_SIGNAL = -1.7976931348623157e308


def test_a_connected_modem_is_told_whole() -> None:
    """Every field, with the power rounded to whole dBm."""
    assert detail_of(CONNECTED) == ModemDetail(
        sim=Sim.READY,
        registration=Registration.HOME,
        bearer=Bearer.UP,
        signal_dbm=-101,
        operator="00101",
        technology="lte",
    )


def test_a_modem_that_says_nothing_is_only_there() -> None:
    """None is never a guess."""
    assert detail_of(ModemValues()) == ModemDetail(present=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Sim.READY),
        ({"unlock_required": 0}, Sim.READY),
        ({"state": -1, "failed_reason": 2, "sim": "/"}, Sim.MISSING),
        ({"state": -1, "failed_reason": 3}, Sim.MISSING),
        ({"state": -1, "failed_reason": 5, "sim": "/"}, Sim.MISSING),
        ({"state": -1, "failed_reason": 1}, Sim.READY),
        ({"state": 3, "sim": "/"}, Sim.MISSING),
        ({"state": 2, "unlock_required": 2}, Sim.LOCKED),
        ({"state": 2, "unlock_required": 4}, Sim.LOCKED),
        ({"state": 3, "unlock_required": 3}, Sim.READY),
        ({"state": 3, "unlock_required": 5}, Sim.READY),
        ({"state": 2, "unlock_required": 10}, Sim.LOCKED),
        ({"state": 1, "sim": "/"}, None),
        ({"state": 0}, None),
        ({"state": None}, None),
        ({"sim": None}, None),
    ],
)
def test_sim(changes: dict[str, Any], expected: Sim | None) -> None:
    """Missing and locked are the SIM's own words; a modem that still looks for it says none."""
    assert sim_of(replace(CONNECTED, **changes)) is expected


@pytest.mark.parametrize(
    ("number", "state", "expected"),
    [
        (0, 6, Registration.IDLE),
        (0, 7, Registration.SEARCHING),
        (1, 8, Registration.HOME),
        (2, 7, Registration.SEARCHING),
        (2, 6, Registration.SEARCHING),
        (3, 6, Registration.DENIED),
        (3, 7, Registration.DENIED),
        (4, 6, None),
        (4, 7, Registration.SEARCHING),
        (5, 8, Registration.ROAMING),
        (6, 8, Registration.HOME),
        (7, 8, Registration.ROAMING),
        (8, 6, Registration.SEARCHING),
        (9, 8, Registration.HOME),
        (10, 8, Registration.ROAMING),
        (11, 6, Registration.SEARCHING),
        (12, 8, None),
        (None, 3, None),
        (None, 7, Registration.SEARCHING),
    ],
)
def test_registration(number: int | None, state: int, expected: Registration | None) -> None:
    """Every number of MMModem3gppRegistrationState, one that is yet to come, and none."""
    values = ModemValues(registration=number, state=state)
    assert registration_of(values) is expected


UP, DOWN, UNREAD = BearerValues(connected=True), BearerValues(connected=False), BearerValues()
REFUSED = BearerValues(connected=False, error=f"{ERROR}.MobileEquipment.MissingOrUnknownApn")


@pytest.mark.parametrize(
    ("bearers", "expected"),
    [
        (None, None),
        ((), Bearer.DOWN),
        ((UNREAD,), None),
        ((DOWN,), Bearer.DOWN),
        ((DOWN, UNREAD), Bearer.DOWN),
        ((UP,), Bearer.UP),
        ((REFUSED,), Bearer.REFUSED),
        ((DOWN, REFUSED), Bearer.REFUSED),
        ((REFUSED, UP), Bearer.UP),
        ((BearerValues(connected=True, error=REFUSED.error),), Bearer.UP),
    ],
)
def test_bearer(bearers: tuple[BearerValues, ...] | None, expected: Bearer | None) -> None:
    """A session that is up counts first; then any refusal."""
    assert bearer_of(bearers) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (f"{ERROR}.MobileEquipment.ServiceOptionNotSubscribed", True),
        (f"{ERROR}.MobileEquipment.GprsServiceOptionNotSubscribed", True),
        (f"{ERROR}.MobileEquipment.PlmnNotAllowed", True),
        (f"{ERROR}.MobileEquipment.Congestion", True),
        (f"{ERROR}.MobileEquipment.NetworkTimeout", False),
        (f"{ERROR}.MobileEquipment.NoNetwork", False),
        (f"{ERROR}.MobileEquipment.SimFailure", False),
        (f"{ERROR}.MobileEquipment.Unknown", False),
        (f"{ERROR}.Core.Timeout", False),
        (f"{ERROR}.Core.Congestion", False),
        ("ServiceOptionNotSubscribed", False),
        ("", False),
    ],
)
def test_refusals(error: str, expected: bool) -> None:
    """Only a cause that the network gives is its no."""
    assert is_refusal(error) is expected


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({}, None),
        ({"Lte": {}}, None),
        ({"Lte": {"rsrq": -11.0, "snr": 3.0}}, None),
        ({"Lte": {"rsrp": -101.4}}, -101),
        ({"Nr5g": {"rsrp": -88.0}, "Lte": {"rsrp": -101.0}}, -101),
        ({"Nr5g": {"rsrp": -88.0}, "Lte": {"rssi": -60.0}}, -88),
        ({"Lte": {"rssi": -60.0}}, -60),
        ({"Umts": {"rssi": -77.0, "rscp": -85.0}}, -77),
        ({"Gsm": {"rssi": -81.0}}, -81),
        ({"Lte": {"rsrp": UNKNOWN_SIGNAL, "rssi": -61.0}}, -61),
        ({"Lte": {"rsrp": float("nan")}}, None),
        ({"Lte": {"rsrp": 0.0}}, None),
        ({"Lte": {"rsrp": -160.0}}, -160),
        ({"Lte": {"rsrp": -161.0}}, None),
    ],
)
def test_power(signals: dict[str, dict[str, float]], expected: int | None) -> None:
    """RSRP before RSSI, and nothing that can't be a power."""
    assert power_dbm(signals) == expected


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(None, None), (0, None), (1, -112), (29, -95), (50, -82), (100, -51), (101, None)],
)
def test_quality(percent: int | None, expected: int | None) -> None:
    """-113 to -51 dBm; 0 % is also what a modem says that knows nothing."""
    assert quality_dbm(percent) == expected


def test_quality_is_used_only_where_it_may_be() -> None:
    """A power that was told is never mixed with it."""
    silent = replace(CONNECTED, signals={})
    assert detail_of(silent).signal_dbm is None
    assert detail_of(silent, use_quality=True).signal_dbm == -76
    assert detail_of(CONNECTED, use_quality=True).signal_dbm == -101


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("00101", "00101"),
        ("310260", "310260"),
        ("", None),
        (None, None),
        ("0010", None),
        ("0010123", None),
        ("home\n", None),
        ("٠٠١٠١", None),
    ],
)
def test_operator(code: str | None, expected: str | None) -> None:
    """Five or six digits, and nothing else reaches a record."""
    assert operator_of(code) == expected


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (None, None),
        (0, None),
        (1 << 1, "gsm"),
        (1 << 3, "gprs"),
        (1 << 4 | 1 << 1, "edge"),
        (1 << 5, "umts"),
        (1 << 6, "hspa"),
        (1 << 9 | 1 << 5, "hspa+"),
        (1 << 14, "lte"),
        (1 << 15 | 1 << 14, "5g"),
        (1 << 16, "lte-m"),
        (1 << 17, "nb-iot"),
        (1 << 10, None),
    ],
)
def test_technology(bits: int | None, expected: str | None) -> None:
    """Of several the newest; one that has no SIM of ours (CDMA) is none."""
    assert technology_of(bits) == expected
