"""NetworkManager's objects on a private bus: devices and the IP configurations they got.

Answers GetDeviceByIpIface and Properties.Get, and keeps a list of every call. Paths, names
and types are those of NetworkManager 1.42's D-Bus interface. Runs in the test's own loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
DEVICE, IP4, IP6 = f"{NAME}.Device", f"{NAME}.IP4Config", f"{NAME}.IP6Config"


class FakeNetworkManager:
    """What it manages, and who asked what."""

    def __init__(self, bus: MessageBus) -> None:
        """Serve on a bus; use `network_manager`."""
        self.bus = bus
        self.asked: list[list[str]] = []
        self.hung = False
        self._devices: dict[str, int] = {}
        self._objects: dict[str, dict[tuple[str, str], Variant]] = {}
        bus.add_message_handler(self._handle)

    def manage(self, device: str, *, ip4: tuple[str, ...] = (), ip6: tuple[str, ...] = ()) -> None:
        """Have a device, with the name servers that its network gave (None of a family: none)."""
        number = self._devices.setdefault(device, len(self._devices) + 1)
        at = f"{PATH}/Devices/{number}"
        paths = {
            "Ip4Config": f"{PATH}/IP4Config/{number}",
            "Ip6Config": f"{PATH}/IP6Config/{number}",
        }
        self._objects[at] = {
            (DEVICE, "Interface"): Variant("s", device),
            (DEVICE, "HwAddress"): Variant("s", "0C:5B:8F:27:9A:64"),
            (DEVICE, "Ip4Config"): Variant("o", paths["Ip4Config"] if ip4 else "/"),
            (DEVICE, "Ip6Config"): Variant("o", paths["Ip6Config"] if ip6 else "/"),
        }
        data = [{"address": Variant("s", address)} for address in ip4]
        self._objects[paths["Ip4Config"]] = {(IP4, "NameserverData"): Variant("aa{sv}", data)}
        raw = [IPv6Address(address).packed for address in ip6]
        self._objects[paths["Ip6Config"]] = {(IP6, "Nameservers"): Variant("aay", raw)}

    def _handle(self, call: Message) -> Message | bool | None:
        path = call.path or ""
        if call.message_type is not MessageType.METHOD_CALL or not path.startswith(PATH):
            return None
        self.asked.append([path, call.member or "", *map(str, call.body)])
        if self.hung:
            return True
        match call.member, call.body:
            case "GetDeviceByIpIface", [device] if device in self._devices:
                at = f"{PATH}/Devices/{self._devices[device]}"
                return Message.new_method_return(call, "o", [at])
            case "Get", [interface, name] if (interface, name) in self._objects.get(path, {}):
                return Message.new_method_return(call, "v", [self._objects[path][interface, name]])
            case _:
                return Message.new_error(call, f"{NAME}.UnknownDevice", "No device found")


@asynccontextmanager
async def network_manager() -> AsyncIterator[FakeNetworkManager]:
    """Run it on the bus of DBUS_SYSTEM_BUS_ADDRESS."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    made = FakeNetworkManager(bus)
    await bus.request_name(NAME)
    yield made
    bus.disconnect()
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
