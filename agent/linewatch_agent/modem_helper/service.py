"""Serves org.linewatch.ModemReset1 on the system bus, one call at a time, until idle.

Who may call is the bus's policy (org.linewatch.ModemReset1.conf); what may be hit, usb.py
and reboot.py check. Methods: Rebind(s) and PowerCycle(s), each with a USB device's name
(`1-1.2`), and Reboot().
"""

import asyncio
from pathlib import Path

import structlog
from dbus_fast import BusType, Message, MessageType, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from linewatch_agent.modem_helper.reboot import reboot
from linewatch_agent.modem_helper.usb import RefusedError, UsbModems
from linewatch_core.errors import LinewatchError

log = structlog.get_logger()

NAME = "org.linewatch.ModemReset1"
PATH = "/org/linewatch/ModemReset1"
IDLE_S = 60.0
"""It ends after so long without a call; the bus starts it again."""
CALLS_WAITING_MAX = 4
_METHODS = {f"{NAME}.Rebind": "s", f"{NAME}.PowerCycle": "s", f"{NAME}.Reboot": ""}
_SAID = "Rebind(s), PowerCycle(s) and Reboot()"
_UNKNOWN = "org.freedesktop.DBus.Error.UnknownMethod"
_REFUSED = f"{NAME}.Refused"


class HelperError(LinewatchError):
    """The helper can't serve; the text says why."""


async def serve(root: Path = Path("/"), *, idle_s: float = IDLE_S) -> None:
    """Serve until nobody asked for a while.

    Raises:
        HelperError: the bus takes no connection, or gives another the name.
    """
    try:
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except (OSError, DBusFastError) as error:
        raise HelperError(f"cannot serve {NAME}: the system bus says: {error}") from None
    helper = _Helper(bus, root)
    bus.add_message_handler(helper.handle)
    try:
        got = await bus.request_name(NAME)
    except DBusFastError as error:
        raise HelperError(
            f"cannot serve {NAME}: {error}; it is started by the bus, as root"
        ) from None
    if got is not RequestNameReply.PRIMARY_OWNER:
        raise HelperError(f"cannot serve {NAME}: another one does already")
    await helper.work(idle_s)
    bus.disconnect()


class _Helper:
    """Takes calls in turn; each is answered when it is done."""

    def __init__(self, bus: MessageBus, root: Path) -> None:
        self._bus = bus
        self._root = root
        self._calls: asyncio.Queue[Message] = asyncio.Queue(CALLS_WAITING_MAX)

    def handle(self, call: Message) -> Message | bool | None:
        """Put a call in the queue; answer at once what is none of ours."""
        if call.message_type is not MessageType.METHOD_CALL or call.path != PATH:
            return None
        method = f"{call.interface}.{call.member}"
        if _METHODS.get(method) != call.signature:
            return Message.new_error(call, _UNKNOWN, f"{NAME} has {_SAID}")
        if self._calls.full():
            return Message.new_error(call, _REFUSED, "too many calls wait already")
        self._calls.put_nowait(call)
        return True

    async def work(self, idle_s: float) -> None:
        """Do what is asked, until nothing was for a while."""
        while True:
            try:
                call = await asyncio.wait_for(self._calls.get(), idle_s)
            except TimeoutError:
                return
            await self._bus.send(await self._done(call))

    async def _done(self, call: Message) -> Message:
        try:
            await asyncio.to_thread(self._do, call.member or "", *call.body)
        except (RefusedError, OSError) as error:
            log.warning("modem_not_reset", method=call.member, reason=str(error))
            return Message.new_error(call, _REFUSED, str(error))
        log.info("modem_reset", method=call.member, arguments=call.body)
        return Message.new_method_return(call)

    def _do(self, member: str, *arguments: str) -> None:
        if member == "Reboot":
            return reboot(self._root)
        modems = UsbModems(self._root)
        return (modems.rebind if member == "Rebind" else modems.power_cycle)(*arguments)
