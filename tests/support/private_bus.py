"""A D-Bus of a test's own, with the rules of a system bus; and a client of it as another user.

`python -m tests.support.private_bus UID DESTINATION PATH METHOD [ARGUMENT]` calls a method
over DBUS_SYSTEM_BUS_ADDRESS as that user, and prints `done` or the error's name and text.
An argument is a string, or a number (`u:4`).
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.tun import die_with_parent

ROOT = Path(__file__).parents[2]
# What Debian's system.conf says, less what only the machine's own bus needs.
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  {services}
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  {includes}
</busconfig>
"""
_OPEN = """<policy context="mandatory">
    <allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/>
  </policy>"""


@contextmanager
def system_like_bus(
    *, policies: Sequence[Path] = (), services: Path | None = None, open_to_all: bool = False
) -> Iterator[str]:
    """Run a bus that everybody may connect to; yield its address.

    Args:
        policies: files of rules, as /usr/share/dbus-1/system.d holds them.
        services: a folder of what the bus may start; it is started with
            DBUS_SYSTEM_BUS_ADDRESS set to this bus.
        open_to_all: everybody may be and call anything, for services of the test's own.
    """
    program = shutil.which("dbus-daemon")
    if program is None:
        raise RuntimeError("cannot start a D-Bus: no dbus-daemon; apt-get install dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="lw-bus-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        config, address = folder / "bus.conf", f"unix:path={folder}/bus"
        config.write_text(
            _CONFIG.format(
                socket=folder / "bus",
                services="" if services is None else f"<servicedir>{services}</servicedir>",
                includes="".join(f"<include>{policy}</include>" for policy in policies)
                + (_OPEN if open_to_all else ""),
            )
        )
        arguments = [program, f"--config-file={config}", "--nofork", "--nopidfile"]
        daemon = subprocess.Popen(
            [*arguments, "--print-address"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
            cwd=ROOT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel for a signal
        )
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline().strip(), "the bus did not start"
            yield address
        finally:
            daemon.terminate()
            daemon.wait(timeout=10)
            assert daemon.stdout is not None
            daemon.stdout.close()


def call_as(uid: int, address: str, *call: str) -> str:
    """Return what a call (destination, path, method, argument) brings that user."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.private_bus", str(uid), *call],
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()


async def _call(destination: str, path: str, method: str, *arguments: str) -> str:
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    interface, _, member = method.rpartition(".")
    answer = await bus.call(
        Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature="".join("u" if each.startswith("u:") else "s" for each in arguments),
            body=[int(each[2:]) if each.startswith("u:") else each for each in arguments],
        )
    )
    bus.disconnect()
    assert answer is not None
    if answer.message_type is MessageType.ERROR:
        return f"{answer.error_name}: {answer.body[0] if answer.body else ''}"
    return "done"


def _main() -> None:
    import dbus_fast.aio  # noqa: F401 - the user below may not be able to read it

    uid = int(sys.argv[1])
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    print(asyncio.run(_call(*sys.argv[2:])))


if __name__ == "__main__":
    _main()
