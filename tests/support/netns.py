"""Network namespaces for tests: made, wired, and taken away again.

Names carry a random suffix, so runs never meet each other's leftovers. Needs
root for `ip netns`: as another user every command goes through `sudo -n`, and
where that is refused the test fails and says how to run it. Nothing outside
the namespaces made here is changed, and nothing in them can reach a network.

`python -m tests.support.netns module:function '[args]'` calls an async
function and prints what it returns as JSON; `Netns.call` runs that inside.
"""

import asyncio
import ctypes
import functools
import importlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOBODY = 65534
"""The uid and gid of nobody: what an unprivileged user inside a namespace runs as."""
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
TOOLS = {"ip": "iproute2", "sysctl": "procps", "ping": "iputils-ping"}


@dataclass(slots=True)
class Netns:
    """One network namespace with `lo` up."""

    name: str
    _children: list["subprocess.Popen[str]"] = field(default_factory=list)

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """Run a command inside as root and return its output; fail loudly."""
        return _run(*self.inside(*command), timeout_s=timeout_s)

    def sysctl(self, **values: str) -> None:
        """Set sysctls of this namespace; `__` in a name stands for a dot."""
        settings = [f"{name.replace('__', '.')}={value}" for name, value in values.items()]
        self.run("sysctl", "-q", "-w", *settings)

    def allow_ping(self) -> None:
        """Let every group open datagram ICMP sockets here, as an installed probe does."""
        self.sysctl(net__ipv4__ping_group_range="0 2147483647")

    def call(
        self, function: str, *args: object, uid: int | None = None, timeout_s: float = 60
    ) -> Any:
        """Return what an async function (`module:name`) returns inside, through JSON.

        With `uid` it runs as that user and group, with no capability at all: dropped
        after the imports, since Python itself may be where that user can't read.
        """
        command = (sys.executable, "-m", "tests.support.netns", function, json.dumps(args))
        as_user = () if uid is None else (str(uid),)
        output = _run(*self.inside(*command, *as_user), timeout_s=timeout_s)
        return json.loads(output.splitlines()[-1])

    def serve(self, function: str, *args: object) -> None:
        """Start an async function inside that prints `ready` and then serves until the end."""
        command = (sys.executable, "-m", "tests.support.netns", function, json.dumps(args))
        child = subprocess.Popen(self.inside(*command), stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._children.append(child)
        assert child.stdout is not None
        line = child.stdout.readline()
        if line.strip() != "ready":
            raise RuntimeError(f"cannot serve {function} in {self.name}: said {line!r}")

    def stop(self) -> None:
        """End what `serve` started."""
        for child in self._children:
            child.terminate()
            child.wait(timeout=10)
            assert child.stdout is not None
            child.stdout.close()
        self._children.clear()

    def inside(self, *command: str) -> list[str]:
        """Return the command line that runs `command` inside, as root."""
        return [*_privileged(), "ip", "netns", "exec", self.name, *command]


@contextmanager
def namespaces(*names: str) -> Iterator[list[Netns]]:
    """Make namespaces, in order, and remove them at the end with all that runs in them."""
    suffix = secrets.token_hex(4)
    made: list[Netns] = []
    try:
        for name in names:
            netns = Netns(f"lw-{suffix}-{name}")
            _run(*_privileged(), "ip", "netns", "add", netns.name)
            made.append(netns)
            netns.run("ip", "link", "set", "lo", "up")
            # Duplicate address detection makes IPv6 wait a second or two on each new link.
            off = {f"net__ipv6__conf__{which}__accept_dad": "0" for which in ("all", "default")}
            netns.sysctl(**off)
        yield made
    finally:
        for netns in made:
            netns.stop()
            _run(*_privileged(), "ip", "netns", "del", netns.name)


def wire(
    one: tuple[Netns, str, tuple[str, ...]], other: tuple[Netns, str, tuple[str, ...]]
) -> None:
    """Join two namespaces by a veth pair: (namespace, device, addresses with prefix) each."""
    (a, a_device, _), (b, b_device, _) = one, other
    command = (
        f"ip link add name {a_device} netns {a.name} type veth peer name {b_device} netns {b.name}"
    )
    _run(*_privileged(), *command.split())
    for netns, device, addresses in (one, other):
        for address in addresses:
            # No duplicate address detection: an IPv6 address must be usable at once.
            nodad = ["nodad"] if ":" in address else []
            netns.run("ip", "address", "add", address, "dev", device, *nodad)
        netns.run("ip", "link", "set", device, "up")


@functools.cache
def _privileged() -> tuple[str, ...]:
    """Return the prefix that makes a command run as root, or fail and say how."""
    for tool, package in TOOLS.items():
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if shutil.which(tool, path=path) is None:
            raise RuntimeError(f"cannot make namespaces: no `{tool}`; apt-get install {package}")
    if os.geteuid() == 0:
        return ()
    sudo = ["sudo", "-n", "true"]
    if shutil.which("sudo") and subprocess.run(sudo, check=False).returncode == 0:
        return ("sudo", "-n", "env", f"PATH={os.environ['PATH']}:/usr/sbin:/sbin")
    raise RuntimeError(
        "cannot make network namespaces: not root and no passwordless sudo; "
        "run the tests as root, or in a container with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
    )


def _run(*command: str, timeout_s: float = 60) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, check=False
    )
    if result.returncode != 0:
        said = result.stderr.strip() or result.stdout.strip()
        raise RuntimeError(f"cannot run {' '.join(command)!r}: {said}")
    return result.stdout


def _become_unprivileged(uid: int) -> None:
    """Become `uid` for good: no group but its own, no capability, none to be had by exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot set no_new_privs")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    if len(sys.argv) > 3:
        _become_unprivileged(int(sys.argv[3]))
    print(json.dumps(asyncio.run(function(*json.loads(sys.argv[2])))), flush=True)


if __name__ == "__main__":
    _main()
