"""What ModemManager's numbers mean: its properties' values to a ModemDetail.

Pure. A value that is missing or unheard of is None, never a guess. Source:
ModemManager-enums.h and the D-Bus interfaces of ModemManager 1.20; 3GPP TS 24.008.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linewatch_core.modem_words import Bearer, ModemDetail, PacketService, Registration, Sim

_STATE_UNKNOWN, _STATE_INITIALIZING, _STATE_LOCKED, _STATE_SEARCHING = 0, 1, 2, 7
_NO_SIM_REASONS = frozenset((2, 3, 5))
"""MMModemStateFailedReason: SIM missing, SIM error (it is there and can't be read), an eSIM
without a profile: in each case there is no SIM to work with."""
_LOCKS_THAT_DO_NOT_LOCK = frozenset((0, 1, 3, 5))
"""MMModemLock: unknown, none, and PIN2 and PUK2, which guard settings but no connection."""

_REGISTRATIONS = {
    0: Registration.IDLE,
    1: Registration.HOME,
    2: Registration.SEARCHING,
    3: Registration.DENIED,
    5: Registration.ROAMING,
    6: Registration.HOME,  # for messages only
    7: Registration.ROAMING,
    # For emergency calls only: any network gives that. Its own one it has not found, which
    # is what a modem says whose operator alone switched its radio off.
    8: Registration.SEARCHING,
    9: Registration.HOME,  # fallback to circuits not preferred
    10: Registration.ROAMING,
    11: Registration.SEARCHING,  # restricted local service: emergency again
}
"""MMModem3gppRegistrationState; 4 is unknown."""

_TECHNOLOGIES = (
    (1 << 15, "5g"),
    (1 << 16, "lte-m"),
    (1 << 17, "nb-iot"),
    (1 << 14, "lte"),
    (1 << 9, "hspa+"),
    (1 << 8 | 1 << 7 | 1 << 6, "hspa"),
    (1 << 5, "umts"),
    (1 << 4, "edge"),
    (1 << 3, "gprs"),
    (1 << 2 | 1 << 1, "gsm"),
)
"""Bits of MMModemAccessTechnology, the newest first; of several the newest is told."""

SIGNALS = (
    ("Lte", "rsrp"),
    ("Nr5g", "rsrp"),
    ("Lte", "rssi"),
    ("Umts", "rssi"),
    ("Gsm", "rssi"),
)
"""Where the signal's power is, the first that is told counts. LTE before 5G: with both,
LTE is what the modem is anchored to, and comes and goes less."""
_DBM_MIN, _DBM_MAX = -160.0, 0.0
_QUALITY_DBM = (-113.0, -51.0)
"""What 0 and 100 % of SignalQuality stand for (ModemManager's own scale, 27.007 +CSQ)."""

_OPERATOR = re.compile(r"[0-9]{5,6}")

_PACKET_SERVICES = {1: PacketService.DETACHED, 2: PacketService.ATTACHED}
"""MMModem3gppPacketServiceState; 0 is unknown."""

_ERROR_PREFIX = "org.freedesktop.ModemManager1.Error.MobileEquipment."
_REFUSALS = frozenset(
    (
        *("ImsiUnknownInHss", "ImsiUnknownInHlr", "ImsiUnknownInVlr", "IllegalUe", "IllegalMs"),
        *("IllegalMe", "ImeiNotAccepted", "PsServicesNotAllowed", "PsAndNonPsServicesNotAllowed"),
        *("ServiceNotAllowed", "PsServicesNotAllowedInPlmn", "PlmnNotAllowed", "AreaNotAllowed"),
        *("LocationNotAllowed", "RoamingNotAllowed", "RoamingNotAllowedInArea", "NoCellsInArea"),
        *("NoCellsInLocationArea", "ImplicitlyDetached", "NetworkFailure", "NetworkFailureAttach"),
        *("EsmFailure", "Congestion", "InsufficientResources", "NotAuthorizedForCsg"),
        *("MissingOrUnknownApn", "UnknownPdpAddressOrType", "UserAuthenticationFailed"),
        *("PdpAuthFailure", "ActivationRejectedByGgsnOrGw", "ActivationRejectedUnspecified"),
        *("ServiceOptionNotSupported", "ServiceOptionNotSubscribed", "ServiceOptionOutOfOrder"),
        *("ServiceOptionTemporarilyOutOfOrder", "RegularDeactivation", "QosNotAccepted"),
        *("NotAttachedRestricted", "NotAllowedRestricted", "CallBarred"),
    )
)
"""Causes that the network gives (24.008 10.5.5.14 and 10.5.6.6, 24.301). A failure of the
modem or of ModemManager, a time-out, or an unknown cause is no word of the network."""


@dataclass(frozen=True, slots=True)
class BearerValues:
    """A bearer's `Connected`, the name in its `ConnectionError` ("": none), and `Ip4Config`."""

    connected: bool | None = None
    error: str = ""
    ip4: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModemValues:
    """The properties' values as they came; None: not told.

    Attributes:
        sim: the path of the SIM's object; `/`: there is none.
        signals: `Lte`, `Nr5g`, `Umts`, `Gsm` of the Signal interface: name to dBm and dB.
        bearers: None: not told; empty: there is none.
    """

    state: int | None = None
    failed_reason: int | None = None
    unlock_required: int | None = None
    sim: str | None = None
    registration: int | None = None
    operator: str | None = None
    technologies: int | None = None
    quality_percent: int | None = None
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bearers: tuple[BearerValues, ...] | None = None
    packet_service: int | None = None


def detail_of(values: ModemValues, *, use_quality: bool = False) -> ModemDetail:
    """Return what a modem said.

    Args:
        use_quality: convert SignalQuality where no signal's power is told. Not to be mixed
            with the other on one modem: the two differ by some 30 dB.
    """
    signal_dbm = power_dbm(values.signals)
    if signal_dbm is None and use_quality:
        signal_dbm = quality_dbm(values.quality_percent)
    return ModemDetail(
        present=True,
        sim=sim_of(values),
        registration=registration_of(values),
        bearer=bearer_of(values.bearers),
        signal_dbm=signal_dbm,
        operator=operator_of(values.operator),
        technology=technology_of(values.technologies),
        packet_service=_PACKET_SERVICES.get(values.packet_service or 0),
    )


def sim_of(values: ModemValues) -> Sim | None:
    """Return how the SIM is; None while the modem still looks for it."""
    if values.failed_reason in _NO_SIM_REASONS:
        return Sim.MISSING
    if values.state == _STATE_LOCKED or (values.unlock_required or 0) not in (
        _LOCKS_THAT_DO_NOT_LOCK
    ):
        return Sim.LOCKED
    if values.state in (None, _STATE_UNKNOWN, _STATE_INITIALIZING) or values.sim is None:
        return None
    return Sim.MISSING if values.sim == "/" else Sim.READY


def registration_of(values: ModemValues) -> Registration | None:
    """Return where the modem is registered; a modem that searches says so by its state too."""
    found = _REGISTRATIONS.get(-1 if values.registration is None else values.registration)
    if values.state == _STATE_SEARCHING and found in (None, Registration.IDLE):
        return Registration.SEARCHING
    return found


def bearer_of(bearers: tuple[BearerValues, ...] | None) -> Bearer | None:
    """Return how the data session stands: any one that is up counts, then any refusal."""
    if bearers is None or (bearers and all(one.connected is None for one in bearers)):
        return None
    if any(one.connected for one in bearers):
        return Bearer.UP
    return Bearer.REFUSED if any(is_refusal(one.error) for one in bearers) else Bearer.DOWN


def is_refusal(error: str) -> bool:
    """Return whether a D-Bus error's name is the network's own no."""
    # Before 1.18 the same causes were called Gprs….
    cause = error.removeprefix(_ERROR_PREFIX).removeprefix("Gprs")
    return error.startswith(_ERROR_PREFIX) and cause in _REFUSALS


def power_dbm(signals: Mapping[str, Mapping[str, float]]) -> int | None:
    """Return the first power told that can be one; ModemManager's "unknown" is -1.8e308."""
    for table, key in SIGNALS:
        value = signals.get(table, {}).get(key)
        if value is not None and math.isfinite(value) and _DBM_MIN <= value < _DBM_MAX:
            return round(value)
    return None


def quality_dbm(percent: int | None) -> int | None:
    """Return the power that a SignalQuality stands for; of 0, which is also "unknown", none."""
    if percent is None or not 0 < percent <= 100:
        return None
    low, high = _QUALITY_DBM
    return round(low + (high - low) * percent / 100)


def operator_of(code: str | None) -> str | None:
    """Return MCC and MNC if it is them."""
    return code if code is not None and _OPERATOR.fullmatch(code) else None


def technology_of(bits: int | None) -> str | None:
    """Return the newest technology of a bit field."""
    return next((name for bit, name in _TECHNOLOGIES if (bits or 0) & bit), None)
