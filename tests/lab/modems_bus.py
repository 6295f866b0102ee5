"""The child of modems.py: runs a dbus-daemon of its own and is ModemManager on it.

Answers Properties.Get and GetAll, Introspect, GetManagedObjects and Signal.Setup from
the objects of modems_objects.py, takes Enable, Reset, Connect and Disconnect (which change
nothing by themselves), and keeps a list of every call it gets. Commands come
as JSON on standard input (worker.py). It ends with its parent, and the bus with it.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.lab.modems_objects import MODEM, NAME, ROOT, ModemFacts, Objects, modem_objects
from tests.lab.tun import die_with_parent
from tests.lab.worker import reply, reply_error

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_SOCKET_PATH_MAX = 107
"""What the kernel allows (sun_path, less its zero)."""
_DBUS_ERROR = "org.freedesktop.DBus.Error"


@dataclass(slots=True)
class _Plugged:
    device: str
    index: int
    facts: ModemFacts = field(default_factory=ModemFacts)
    rate_s: int = 0


class Manager:
    """ModemManager: which modems there are, what they say, and who asked what."""

    def __init__(self, bus: MessageBus, address: str) -> None:
        self._bus = bus
        self._address = address
        self._modems: dict[str, _Plugged] = {}
        self._next_index = 0
        self._hung = False
        self._asked: list[list[str]] = []
        bus.add_message_handler(self._handle)

    async def do(self, command: dict[str, Any]) -> object:
        """Carry out one command of the parent."""
        match command["do"]:
            case "address":
                return self._address
            case "plug":
                self._modems[command["line"]] = _Plugged(command["device"], self._new_index())
            case "set":
                self._set(command["line"], command["facts"])
            case "service":
                await self._be(command["state"])
            case "asked":
                asked, self._asked = self._asked, []
                return asked
            case other:
                raise ValueError(f"there is no command {other!r}")
        return None

    def _set(self, line: str, changes: dict[str, Any]) -> None:
        if line not in self._modems:
            raise ValueError(f"no mobile line is called {line!r}")
        modem = self._modems[line]
        merged = msgspec.to_builtins(modem.facts) | changes
        facts = msgspec.convert(merged, ModemFacts)
        if facts.present and not modem.facts.present:
            modem.index, modem.rate_s = self._new_index(), 0
        modem.facts = facts

    async def _be(self, state: str) -> None:
        self._hung = state == "hung"
        if state == "crash":
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            self._bus = await MessageBus(bus_address=self._address).connect()
            self._bus.add_message_handler(self._handle)
        if state == "away":
            await self._bus.release_name(NAME)
        else:
            await self._bus.request_name(NAME)

    def _new_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _handle(self, call: Message) -> Message | bool | None:
        """Answer a call; True leaves it without an answer for ever."""
        path = call.path or ""
        if call.message_type is not MessageType.METHOD_CALL or not path.startswith(ROOT):
            return None
        method = [path, call.interface or "", call.member or ""]
        self._asked.append([*method, *map(str, call.body)])
        objects: Objects = {ROOT: {NAME: {"Version": Variant("s", "1.20.4")}}}
        for modem in self._modems.values():
            if modem.facts.present:
                own = modem_objects(modem.index, modem.device, modem.facts, rate_s=modem.rate_s)
                if modem.facts.hung and path in own:
                    return True
                objects |= own
        return True if self._hung else self._answer(call, path, objects)

    def _answer(self, call: Message, path: str, objects: Objects) -> Message:
        found = objects.get(path, {})
        match call.member, call.body:
            case "Introspect", []:
                return Message.new_method_return(call, "s", [_introspection(path, objects)])
            case "Get", [interface, name] if name in found.get(interface, {}):
                return Message.new_method_return(call, "v", [found[interface][name]])
            case "GetAll", [interface] if interface in found:
                return Message.new_method_return(call, "a{sv}", [found[interface]])
            case "GetManagedObjects", []:
                # As the real one, which lists modems only.
                modems = {at: every for at, every in objects.items() if MODEM in every}
                return Message.new_method_return(call, "a{oa{sa{sv}}}", [modems])
            case _:
                return self._do(call, path, known=bool(found))

    def _do(self, call: Message, path: str, *, known: bool) -> Message:
        """Answer a call that changes something."""
        match call.member, call.body:
            case ("Enable", [bool()]) | ("Disconnect", ["/"]) | ("Reset" | "Connect", []) if known:
                return Message.new_method_return(call)
            case "Setup", [int(rate_s)]:
                return self._set_up_signal(call, path, rate_s)
            case _:
                text = f"no {call.member} of {call.body} at {path}"
                return Message.new_error(call, f"{_DBUS_ERROR}.InvalidArgs", text)

    def _set_up_signal(self, call: Message, path: str, rate_s: int) -> Message:
        index = int(path.rpartition("/")[2])
        modem = next(each for each in self._modems.values() if each.index == index)
        if modem.facts.signal_refused:
            text = "PolicyKit authorization failed"
            return Message.new_error(call, f"{NAME}.Error.Core.Unauthorized", text)
        modem.rate_s = rate_s
        return Message.new_method_return(call)


def _introspection(path: str, objects: Objects) -> str:
    """Return a node with its interfaces' names and the next nodes below it, as GDBus does."""
    below = (each.removeprefix(f"{path}/") for each in objects if each.startswith(f"{path}/"))
    nodes = "".join(f'<node name="{name}"/>' for name in sorted({b.split("/")[0] for b in below}))
    interfaces = "".join(f'<interface name="{name}"/>' for name in objects.get(path, {}))
    return f"<node>{interfaces}{nodes}</node>"


def start_bus(folder: Path) -> str:
    """Start a dbus-daemon that ends with this process; return its address."""
    program, path = shutil.which("dbus-daemon"), folder / "bus"
    if program is None:
        raise RuntimeError("cannot start a D-Bus: no dbus-daemon; apt-get install dbus-daemon")
    if len(str(path)) > _SOCKET_PATH_MAX:
        raise RuntimeError(f"cannot start a D-Bus: {path} is too long a name for a socket")
    path.unlink(missing_ok=True)
    config = folder / "bus.conf"
    config.write_text(_CONFIG.format(socket=path))
    arguments = [program, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    said = folder / "bus.log"
    with said.open("w") as log:
        daemon = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    assert daemon.stdout is not None
    if not (address := daemon.stdout.readline().strip()):
        raise RuntimeError(f"cannot start a D-Bus: {said.read_text().strip()}")
    return address


async def serve(folder: Path) -> None:
    """Be ModemManager until standard input ends."""
    address = start_bus(folder)
    bus = await MessageBus(bus_address=address).connect()
    manager = Manager(bus, address)
    await bus.request_name(NAME)
    print("ready", flush=True)
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await lines.readline():
        try:
            reply(await manager.do(json.loads(line)))
        except Exception as error:
            reply_error(error)


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(serve(Path(sys.argv[1])))
