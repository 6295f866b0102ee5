"""What can be asked of ModemManager, over one connection to the system bus.

Reads values one by one (`FIELDS` is all that it ever asks for) and never as a whole
interface, which would bring the subscriber's identity with it. The only call that changes
anything is Signal.Setup. Source: ModemManager's D-Bus interfaces.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from linewatch_agent.modems.values import BearerValues, ModemValues
from linewatch_agent.system_bus import BusError, ServiceEndedError, SystemBus, system_bus

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
        *((_3GPP, name) for name in ("RegistrationState", "OperatorCode", "PacketServiceState")),
        *((_SIGNAL, name) for name in ("Rate", *_TABLES)),
        *((_BEARER, name) for name in ("Connected", "ConnectionError", "Ip4Config")),
    )
)
"""(interface, property): all that is ever read of a modem, its SIM or its bearers."""

_NET_PORT = 2
"""MMModemPortType of a network device."""
_NODE = re.compile(r'<node name="([0-9]+)"')


class NoModemManagerError(BusError):
    """Nobody can tell anything of any modem; the text says why."""


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator["Connection"]:
    """Connect to the system bus for a while.

    Raises:
        NoModemManagerError: there is none, or it takes no connection.
    """
    try:
        async with system_bus() as bus:
            yield Connection(bus)
    except NoModemManagerError:
        raise
    except BusError as error:
        raise NoModemManagerError(str(error)) from None


class Connection:
    """What can be asked of ModemManager; every answer None or empty means "not told".

    All raise NoModemManagerError where ModemManager or the bus ends meanwhile.
    """

    def __init__(self, bus: SystemBus) -> None:
        """Wrap a connection; use `connected`."""
        self._bus = bus

    async def owner(self) -> str | None:
        """Return the name of ModemManager's own connection; None: it does not run."""
        return await self._bus.owner(NAME)

    async def modems(self) -> list[str]:
        """Return the paths of the modems that there are."""
        method = "org.freedesktop.DBus.Introspectable.Introspect"
        answer = await self._call(MODEMS, method)
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
            packet_service=said[_3GPP, "PacketServiceState"],
            operator=said[_3GPP, "OperatorCode"],
            technologies=said[_MODEM, "AccessTechnologies"],
            quality_percent=None if quality is None else quality[0],
            signals={table: _plain(said[_SIGNAL, table]) for table in _TABLES},
            bearers=None
            if bearers is None
            else tuple(await asyncio.gather(*(self._bearer(each) for each in bearers))),
        ), said[_SIGNAL, "Rate"]

    async def ask_for_signal(self, modem: str) -> bool:
        """Ask a modem to measure its signal now and then; return whether it will."""
        body = [SIGNAL_EVERY_S]
        return await self._call(modem, f"{_SIGNAL}.Setup", "u", body) is not None

    async def _bearer(self, path: str) -> BearerValues:
        names = ("Connected", "ConnectionError", "Ip4Config")
        connected, error, ip4 = await asyncio.gather(
            *(self._get(path, _BEARER, name) for name in names)
        )
        return BearerValues(connected, "" if error is None else error[0], _plain(ip4))

    async def _get(self, path: str, interface: str, name: str) -> Any:
        assert (interface, name) in FIELDS
        with _ending():
            return await self._bus.get(NAME, path, interface, name)

    async def _call(
        self, path: str, method: str, signature: str = "", body: list[Any] | None = None
    ) -> list[Any] | None:
        """Return an answer's body; None: an error came back."""
        with _ending():
            return await self._bus.call(NAME, path, method, signature, body)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Tell that ModemManager ended as such."""
    try:
        yield
    except ServiceEndedError:
        raise NoModemManagerError("ModemManager ended while it was asked") from None


def _plain(table: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a dictionary's values as such: over the bus each is wrapped with its type."""
    return {key: each.value for key, each in (table or {}).items()}
