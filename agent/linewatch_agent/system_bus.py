"""One connection to the system bus, for a while: calls, and values read one by one.

dbus-fast is imported at the first connection, since it takes 3.4 MB. A connection serves
one look or one step; what a hung service never answers goes with it. It knows no
service. Source: the D-Bus specification.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linewatch_core.errors import LinewatchError

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

NO_BUS = "this machine has no system bus"
_SYSTEM_BUS = "/var/run/dbus/system_bus_socket"
_GOODBYE_S = 1.0
_ENDED = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected")
)
"""How the bus answers for a service that is gone; other errors are a service's own."""


class BusError(LinewatchError):
    """Nothing can be asked over the bus; the text says why."""


class ServiceEndedError(BusError):
    """The service that was asked is not there, or ended meanwhile."""


def has_bus() -> bool:
    """Return whether this machine seems to have a system bus."""
    return bool(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")) or Path(_SYSTEM_BUS).exists()


@contextlib.asynccontextmanager
async def system_bus() -> AsyncIterator["SystemBus"]:
    """Connect to the system bus (DBUS_SYSTEM_BUS_ADDRESS, if set) for a while.

    Raises:
        BusError: there is none, or it takes no connection.
    """
    if not has_bus():
        raise BusError(NO_BUS)
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import DBusFastError

    try:
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except (OSError, DBusFastError) as error:
        raise BusError(f"the system bus takes no connection: {error}") from None
    try:
        yield SystemBus(bus)
    finally:
        bus.disconnect()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_GOODBYE_S):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


class SystemBus:
    """What can be asked over a connection; an error that a service answers is None."""

    def __init__(self, bus: "MessageBus") -> None:
        """Wrap a connection; use `system_bus`."""
        self._bus = bus

    async def owner(self, name: str) -> str | None:
        """Return the connection that owns a name; None: nobody does.

        A service is never started by being asked for: that is the machine's to decide.
        """
        daemon = "org.freedesktop.DBus"
        path = "/org/freedesktop/DBus"
        try:
            answer = await self.call(daemon, path, f"{daemon}.GetNameOwner", "s", [name])
        except ServiceEndedError:
            return None
        return None if answer is None else str(answer[0])

    async def get(self, to: str, path: str, interface: str, name: str) -> Any:
        """Return one property's value; None: it is not told.

        Raises:
            BusError: the service or the bus ended.
        """
        method = "org.freedesktop.DBus.Properties.Get"
        answer = await self.call(to, path, method, "ss", [interface, name])
        return None if answer is None else answer[0].value

    async def call(
        self,
        to: str,
        path: str,
        method: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        start: bool = False,
    ) -> list[Any] | None:
        """Return an answer's body; None: an error came back.

        Args:
            start: the bus may start the service for it.
        Raises:
            ServiceEndedError: it is not there, or ended meanwhile.
            BusError: the bus closed the connection.
        """
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
            flags=MessageFlag.NONE if start else MessageFlag.NO_AUTOSTART,
        )
        answer: Message | None
        try:
            answer = await self._bus.call(message)
        except (OSError, EOFError, DBusFastError):
            answer = None
        if answer is None:
            raise BusError("the system bus closed the connection")
        if answer.message_type is not MessageType.ERROR:
            return answer.body
        if answer.error_name in _ENDED:
            raise ServiceEndedError(f"{to} is not there")
        return None
