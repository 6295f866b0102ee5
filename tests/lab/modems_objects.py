"""What ModemManager's objects say, from a few facts: paths, interfaces, properties.

Pure, but for dbus-fast's Variant. Names, types and numbers are those of ModemManager
1.20's D-Bus interface; the identifiers that no agent may read are there too, as
`SECRETS`, so that a test can see who asked for them.
"""

from typing import TypeAlias

import msgspec
from dbus_fast import Variant

from linewatch_core.modem_words import Bearer, Registration, Sim

ROOT = "/org/freedesktop/ModemManager1"
NAME = "org.freedesktop.ModemManager1"
MODEM, MODEM_3GPP, SIGNAL = f"{NAME}.Modem", f"{NAME}.Modem.Modem3gpp", f"{NAME}.Modem.Signal"
LOCATION, SIM, BEARER = f"{NAME}.Modem.Location", f"{NAME}.Sim", f"{NAME}.Bearer"

Objects: TypeAlias = dict[str, dict[str, dict[str, Variant]]]
"""Path to interface to property to value."""

SECRETS = {
    "Imsi": "001010123456789",
    "SimIdentifier": "8900101012345678901",
    "Eid": "89001012012341234012345678901224",
    "Imei": "490154203237518",
    "EquipmentIdentifier": "490154203237518",
    "DeviceIdentifier": "5f1c7b0d9e",
    "OwnNumbers": "+99900000001",
    "Location": "001,01,FFFE,0012BEEF,00ABCD",
}
"""Properties that tell who or where somebody is: IMSI, ICCID, IMEI, number, cell."""


class ModemFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a line's modem is.

    Attributes:
        present: it is plugged in.
        hung: its objects answer nothing.
        signal_dbm: RSRP; also gives SignalQuality.
        signal_refused: ModemManager forbids us to ask for signal values (polkit), so
            only SignalQuality is there.
        signal_silent: the modem measures its signal and tells no value.
        home: MCC and MNC of the SIM's own network.
        operator: those of the network that it is registered at; None: at home.
        technology: `lte`, `5g`, `umts` or `gsm`.
        error: the end of the D-Bus error's name with which the last attempt was refused;
            "": it has no error's name.
        detached: the network serves it no data.
        lock: MMModemLock of a SIM that is locked: 2 waits for the PIN, 4 for the PUK.
        failed: MMModemStateFailedReason of a SIM that is missing: 2 no SIM, 3 unreadable.
        mtu: of the data session; None: the modem does not tell it.
    """

    present: bool = True
    hung: bool = False
    sim: Sim = Sim.READY
    registration: Registration = Registration.HOME
    bearer: Bearer = Bearer.UP
    signal_dbm: int = -95
    signal_refused: bool = False
    signal_silent: bool = False
    home: str = "00101"
    operator: str | None = None
    technology: str = "lte"
    error: str = "MobileEquipment.ServiceOptionNotSubscribed"
    detached: bool = False
    lock: int = 2
    failed: int = 2
    mtu: int | None = 1430


_REGISTRATION = {
    Registration.IDLE: 0,
    Registration.HOME: 1,
    Registration.SEARCHING: 2,
    Registration.DENIED: 3,
    Registration.ROAMING: 5,
}
_TECHNOLOGY = {"gsm": 1 << 1, "umts": 1 << 5, "lte": 1 << 14, "5g": 1 << 15}
_SIGNAL_KEY = {"gsm": ("Gsm", "rssi"), "umts": ("Umts", "rssi")} | {
    "lte": ("Lte", "rsrp"),
    "5g": ("Nr5g", "rsrp"),
}


def modem_objects(index: int, device: str, facts: ModemFacts, *, rate_s: int) -> Objects:
    """Return the objects of one modem: itself, its SIM, its bearer.

    Args:
        index: the number of its object; a modem that is plugged in again gets another.
        rate_s: how often signal values are asked for; 0: nobody asked for them yet.
    """
    path = f"{ROOT}/Modem/{index}"
    ready = facts.sim is Sim.READY
    sim_path = f"{ROOT}/SIM/{index}" if facts.sim is not Sim.MISSING else "/"
    objects: Objects = {path: {MODEM: _modem(index, device, facts, sim_path)}}
    if facts.sim is not Sim.MISSING:
        objects[sim_path] = {SIM: _sim(facts)}
    if ready:
        objects[path][MODEM_3GPP] = _modem_3gpp(facts)
        objects[path][SIGNAL] = _signal(facts, rate_s)
        objects[path][LOCATION] = {"Location": Variant("a{uv}", {1: _secret("Location")})}
        objects[f"{ROOT}/Bearer/{index}"] = {BEARER: _bearer(device, facts)}
    return objects


def _modem(index: int, device: str, facts: ModemFacts, sim_path: str) -> dict[str, Variant]:
    ready = facts.sim is Sim.READY
    registered = ready and facts.registration in (Registration.HOME, Registration.ROAMING)
    return {
        "Sim": Variant("o", sim_path),
        "Bearers": Variant("ao", [f"{ROOT}/Bearer/{index}"] if ready else []),
        "SupportedCapabilities": Variant("au", [8]),
        "CurrentCapabilities": Variant("u", 8),
        "MaxActiveBearers": Variant("u", 1),
        "Manufacturer": Variant("s", "Lab"),
        "Model": Variant("s", "LTE modem"),
        "Revision": Variant("s", "1"),
        "DeviceIdentifier": _secret("DeviceIdentifier"),
        "Device": Variant("s", f"/sys/devices/lab/{device}"),
        "Drivers": Variant("as", ["qmi_wwan"]),
        "Plugin": Variant("s", "generic"),
        "PrimaryPort": Variant("s", f"cdc-wdm{index}"),
        "Ports": Variant("a(su)", [[f"cdc-wdm{index}", 6], [device, 2]]),
        "EquipmentIdentifier": _secret("EquipmentIdentifier"),
        "UnlockRequired": Variant(
            "u", facts.lock if facts.sim is Sim.LOCKED else 1 if ready else 0
        ),
        "UnlockRetries": Variant("a{uu}", {2: 3}),
        "State": Variant("i", _state(facts)),
        "StateFailedReason": Variant("u", facts.failed if facts.sim is Sim.MISSING else 0),
        "AccessTechnologies": Variant("u", _TECHNOLOGY[facts.technology] if registered else 0),
        "SignalQuality": Variant("(ub)", [_quality(facts) if ready else 0, True]),
        "OwnNumbers": Variant("as", [SECRETS["OwnNumbers"]]),
        "PowerState": Variant("u", 3),
        "SupportedModes": Variant("a(uu)", [[8, 0]]),
        "CurrentModes": Variant("(uu)", [8, 0]),
        "SupportedBands": Variant("au", [33]),
        "CurrentBands": Variant("au", [33]),
        "SupportedIpFamilies": Variant("u", 7),
    }


def _state(facts: ModemFacts) -> int:
    """Return MMModemState: failed, locked, searching, registered, connected, or enabled."""
    if facts.sim is not Sim.READY:
        return -1 if facts.sim is Sim.MISSING else 2
    if facts.registration in (Registration.HOME, Registration.ROAMING):
        return 11 if facts.bearer is Bearer.UP else 8
    return 7 if facts.registration is Registration.SEARCHING else 6


def _quality(facts: ModemFacts) -> int:
    return max(0, min(100, round((facts.signal_dbm + 113) * 100 / 62)))


def _modem_3gpp(facts: ModemFacts) -> dict[str, Variant]:
    registered = facts.registration in (Registration.HOME, Registration.ROAMING)
    return {
        "Imei": _secret("Imei"),
        "RegistrationState": Variant("u", _REGISTRATION[facts.registration]),
        "OperatorCode": Variant("s", facts.operator or facts.home if registered else ""),
        "OperatorName": Variant("s", "Lab" if registered else ""),
        "EnabledFacilityLocks": Variant("u", 0),
        "Pco": Variant("a(ubay)", []),
        "InitialEpsBearer": Variant("o", "/"),
        "InitialEpsBearerSettings": Variant("a{sv}", {}),
        "PacketServiceState": Variant("u", 2 if registered and not facts.detached else 1),
    }


def _signal(facts: ModemFacts, rate_s: int) -> dict[str, Variant]:
    values: dict[str, dict[str, Variant]] = {
        key: {} for key in ("Cdma", "Evdo", "Gsm", "Umts", "Lte", "Nr5g")
    }
    if rate_s and not facts.signal_silent:
        table, key = _SIGNAL_KEY[facts.technology]
        values[table] = {key: Variant("d", float(facts.signal_dbm))}
    return {"Rate": Variant("u", rate_s)} | {
        name: Variant("a{sv}", value) for name, value in values.items()
    }


def _sim(facts: ModemFacts) -> dict[str, Variant]:
    return {
        "Active": Variant("b", True),
        "SimIdentifier": _secret("SimIdentifier"),
        "Imsi": _secret("Imsi"),
        "Eid": _secret("Eid"),
        "OperatorIdentifier": Variant("s", facts.home),
        "OperatorName": Variant("s", "Lab"),
        "EmergencyNumbers": Variant("as", []),
    }


def _bearer(device: str, facts: ModemFacts) -> dict[str, Variant]:
    refused = facts.bearer is Bearer.REFUSED
    error = [f"{NAME}.Error.{facts.error}", "not subscribed"] if refused else ["", ""]
    up = facts.bearer is Bearer.UP
    # As the network gives it: the line's own address stands in it too.
    ip4 = {
        "method": Variant("u", 2),
        "address": Variant("s", "10.64.0.7"),
        "prefix": Variant("u", 30),
        "gateway": Variant("s", "10.64.0.6"),
        "dns1": Variant("s", "203.0.113.53"),
        "dns2": Variant("s", "203.0.113.54"),
    }
    if facts.mtu is not None:
        ip4["mtu"] = Variant("u", facts.mtu)
    return {
        "Interface": Variant("s", device if up else ""),
        "Connected": Variant("b", up),
        "ConnectionError": Variant("(ss)", error),
        "Suspended": Variant("b", False),
        "Ip4Config": Variant("a{sv}", ip4 if up else {"method": Variant("u", 0)}),
        "IpTimeout": Variant("u", 20),
        "BearerType": Variant("u", 1),
        "Properties": Variant("a{sv}", {"apn": Variant("s", "internet")}),
    }


def _secret(name: str) -> Variant:
    return Variant("s", SECRETS[name])
