"""Carry out one step of the reset ladder, over the system bus.

Each asks the service whose task it is: ModemManager, or our root helper. What it may do
there, polkit and the bus's policy say. No step knows a PIN. Source: the D-Bus interfaces of
ModemManager and docs/decisions/0022.
"""

import asyncio
from dataclasses import dataclass

from linewatch_agent.modems.bus import Connection
from linewatch_agent.system_bus import BusError, SystemBus, system_bus
from linewatch_core.modem_words import ModemStep

HELPER = "org.linewatch.ModemReset1"
HELPER_PATH = "/org/linewatch/ModemReset1"
_NM = "org.freedesktop.NetworkManager"
_MM = "org.freedesktop.ModemManager1"

LIMIT_S = {
    ModemStep.RECONNECT: 90.0,
    ModemStep.RADIO: 120.0,
    ModemStep.RESET: 60.0,
    ModemStep.USB: 60.0,
    ModemStep.POWER: 90.0,
    ModemStep.REBOOT: 30.0,
}
"""How long a step may take; a modem that hangs lets these pass."""


@dataclass(frozen=True, slots=True)
class Patient:
    """The modem: a network device of it, and its USB device if it has one."""

    device: str
    usb: str | None


async def take(step: ModemStep, patient: Patient, *, limit_s: float | None = None) -> bool:
    """Take a step; return whether it was carried out."""
    try:
        async with asyncio.timeout(LIMIT_S[step] if limit_s is None else limit_s):
            async with system_bus() as bus:
                return await _take(step, patient, bus)
    except (BusError, TimeoutError):
        return False


async def _take(step: ModemStep, patient: Patient, bus: SystemBus) -> bool:
    match step:
        case ModemStep.REBOOT:
            return await _ask_helper(bus, "Reboot")
        case ModemStep.USB | ModemStep.POWER:
            if patient.usb is None:
                return False
            member = "Rebind" if step is ModemStep.USB else "PowerCycle"
            return await _ask_helper(bus, member, "s", [patient.usb])
        case _:
            modem = await _modem_of(patient.device, bus)
            return modem is not None and await _ask_modem(step, modem, bus)


async def _ask_modem(step: ModemStep, modem: str, bus: SystemBus) -> bool:
    method = f"{_MM}.Modem"
    if step is ModemStep.RESET:
        return await bus.call(_MM, modem, f"{method}.Reset") is not None
    if step is ModemStep.RADIO:
        off = await bus.call(_MM, modem, f"{method}.Enable", "b", [False])
        on = await bus.call(_MM, modem, f"{method}.Enable", "b", [True])
        return off is not None and on is not None
    return await _reconnect(modem, bus)


async def _ask_helper(
    bus: SystemBus, member: str, signature: str = "", body: list[str] | None = None
) -> bool:
    method = f"{HELPER}.{member}"
    return await bus.call(HELPER, HELPER_PATH, method, signature, body, start=True) is not None


async def _modem_of(device: str, bus: SystemBus) -> str | None:
    """Return the modem that has a network device."""
    manager = Connection(bus)
    for path in await manager.modems():
        if device in await manager.devices(path):
            return path
    return None


async def _reconnect(modem: str, bus: SystemBus) -> bool:
    """End the data session, so that it is made anew by whoever makes it here.

    That is NetworkManager; where it does not run, we ask for the last session again. The
    agent needs no right to change connections for it.
    """
    method = f"{_MM}.Modem.Simple.Disconnect"
    ended = await bus.call(_MM, modem, method, "o", ["/"]) is not None
    if await bus.owner(_NM) is not None:
        return ended
    for bearer in await bus.get(_MM, modem, f"{_MM}.Modem", "Bearers") or ():
        if await bus.call(_MM, bearer, f"{_MM}.Bearer.Connect") is not None:
            return True
    return False
