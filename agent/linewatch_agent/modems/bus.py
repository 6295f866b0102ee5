"""One connection to the system bus, for one look at ModemManager.

Reads values one by one (`FIELDS` is all that it ever asks for) and never as a whole
interface, which would bring the subscriber's identity with it. A connection serves one
look only: what a hung service never answers goes with it. The only call that changes
anything is Signal.Setup. Source: ModemManager's D-Bus interfaces.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linewatch_agent.modems.values import BearerValues, ModemValues
from linewatch_core.errors import LinewatchError

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

NO_BUS = "this machine has no system bus"
NAME = "org.freedesktop.ModemManager1"
MODEMS = "/org/freedesktop/ModemManager1/Modem"
SIGNAL_EVERY_S = 30

_MODEM, _3GPP, _SIGNAL = f"{NAME}.Modem", f"{NAME}.Modem.Modem3gpp", f"{NAME}.Modem.Signal"
_BEARER = f"{NAME}.Bearer"
_TABLES = ("Lte", "Nr5g", "Umts", "Gsm")
FIELDS = frozenset(
    (
        *((_MODEM, name) for name in ("Ports", "State", "StateFailedReason", "UnlockRequired")),
        *((_MODEM, name) for name in ("Sim", "Bearers", "AccessTechnologies", "SignalQuality")),
        *((_3GPP, name) for name in ("RegistrationState", "OperatorCode")),
        *((_SIGNAL, name) for name in ("Rate", *_TABLES)),
        *((_BEARER, name) for name in ("Connected", "ConnectionError")),
    )
)
"""(interface, property): all that is ever read of a modem, its SIM or its bearers."""

_NET_PORT = 2
"""MMModemPortType of a network device."""
_ENDED = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected")
)
"""How the bus answers for a service that is gone; other errors are about one property."""
_NODE = re.compile(r'<node name="([0-9]+)"')
_GOODBYE_S = 1.0
_SYSTEM_BUS = "/var/run/dbus/system_bus_socket"


class NoModemManagerError(LinewatchError):
    """Nobody can tell anything of any modem; the text says why."""


def has_bus() -> bool:
    """Return whether this machine seems to have a system bus."""
    return bool(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")) or Path(_SYSTEM_BUS).exists()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator["Connection"]:
    """Connect to the system bus (DBUS_SYSTEM_BUS_ADDRESS, if set) for a while.

    Raises:
        NoModemManagerError: there is none, or it takes no connection.
    """
    if not has_bus():
        raise NoModemManagerError(NO_BUS)
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import DBusFastError

    try:
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except (OSError, DBusFastError) as error:
        raise NoModemManagerError(f"the system bus takes no connection: {error}") from None
    try:
        yield Connection(bus)
    finally:
        bus.disconnect()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_GOODBYE_S):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


class Connection:
    """What can be asked of ModemManager; every answer None or empty means "not told".

    All raise NoModemManagerError where ModemManager or the bus ends meanwhile.
    """

    def __init__(self, bus: "MessageBus") -> None:
        self._bus = bus

    async def owner(self) -> str | None:
        """Return the name of ModemManager's own connection; None: it does not run.

        It is never started by being asked: that is the machine's to decide.
        """
        daemon = "org.freedesktop.DBus"
        path = "/org/freedesktop/DBus"
        answer = await self._call(daemon, path, f"{daemon}.GetNameOwner", "s", [NAME])
        return None if answer is None else str(answer[0])

    async def modems(self) -> list[str]:
        """Return the paths of the modems that there are."""
        method = "org.freedesktop.DBus.Introspectable.Introspect"
        answer = await self._call(NAME, MODEMS, method)
        if answer is None:
            # Not the same as none: that would be taken for modems gone.
            raise NoModemManagerError("ModemManager does not list its modems")
        return [f"{MODEMS}/{number}" for number in _NODE.findall(str(answer[0]))]

    async def devices(self, modem: str) -> frozenset[str]:
        """Return the network devices of a modem."""
        ports = await self._get(modem, _MODEM, "Ports")
        return frozenset(name for name, kind in ports or () if kind == _NET_PORT)

    async def values(self, modem: str) -> tuple[ModemValues, int | None]:
        """Return what a modem says, and how often it asks for signal values (0: never)."""
        names = [(interface, name) for interface, name in FIELDS if interface != _BEARER]
        read = await asyncio.gather(*(self._get(modem, *each) for each in names))
        said = dict(zip(names, read, strict=True))
        quality = said[_MODEM, "SignalQuality"]
        bearers = said[_MODEM, "Bearers"]
        return ModemValues(
            state=said[_MODEM, "State"],
            failed_reason=said[_MODEM, "StateFailedReason"],
            unlock_required=said[_MODEM, "UnlockRequired"],
            sim=said[_MODEM, "Sim"],
            registration=said[_3GPP, "RegistrationState"],
            operator=said[_3GPP, "OperatorCode"],
            technologies=said[_MODEM, "AccessTechnologies"],
            quality_percent=None if quality is None else quality[0],
            signals={
                table: {key: each.value for key, each in (said[_SIGNAL, table] or {}).items()}
                for table in _TABLES
            },
            bearers=None
            if bearers is None
            else tuple(await asyncio.gather(*(self._bearer(each) for each in bearers))),
        ), said[_SIGNAL, "Rate"]

    async def ask_for_signal(self, modem: str) -> bool:
        """Ask a modem to measure its signal now and then; return whether it will."""
        body = [SIGNAL_EVERY_S]
        return await self._call(NAME, modem, f"{_SIGNAL}.Setup", "u", body) is not None

    async def _bearer(self, path: str) -> BearerValues:
        connected, error = await asyncio.gather(
            self._get(path, _BEARER, "Connected"), self._get(path, _BEARER, "ConnectionError")
        )
        return BearerValues(connected, "" if error is None else error[0])

    async def _get(self, path: str, interface: str, name: str) -> Any:
        assert (interface, name) in FIELDS
        method = "org.freedesktop.DBus.Properties.Get"
        answer = await self._call(NAME, path, method, "ss", [interface, name])
        return None if answer is None else answer[0].value

    async def _call(
        self,
        to: str,
        path: str,
        method: str,
        signature: str = "",
        body: list[Any] | None = None,
    ) -> list[Any] | None:
        """Return an answer's body; None: an error came back."""
        from dbus_fast import Message, MessageFlag, MessageType
        from dbus_fast.errors import DBusFastError

        interface, _, member = method.rpartition(".")
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body or [],
            flags=MessageFlag.NO_AUTOSTART,
        )
        answer: Message | None
        try:
            answer = await self._bus.call(message)
        except (OSError, EOFError, DBusFastError):
            answer = None
        if answer is None:
            raise NoModemManagerError("the system bus closed the connection")
        if answer.message_type is not MessageType.ERROR:
            return answer.body
        if to == NAME and answer.error_name in _ENDED:
            raise NoModemManagerError("ModemManager ended while it was asked")
        return None
