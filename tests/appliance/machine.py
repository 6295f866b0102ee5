"""A layer at work: commands in it without a boot (`in_layer`), or booted by systemd (`booted`).

Both run in systemd-nspawn with a network namespace of their own that nothing
leads out of: only `plug` wires it, to a namespace that a test made. All dies
with the test's process, even if that is killed.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.appliance.layers import Layer, end_cgroup

BOOT_S = 180.0
"""How long a boot may take; on two busy cores it takes about three seconds."""
_ENTER = """
echo $$ >"$1/cgroup.procs"; shift
exec unshare --pid --fork --kill-child --mount-proc --mount --cgroup --propagation private \
    -- sh -ec '
    umount -R -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; exec "$@"' sh "$@"
"""
"""Puts itself into a control group ($1) and becomes the rest: the first process of a namespace
of its own, so that all below dies with it, with a /sys/fs/cgroup as nspawn wants it, and a
/run/systemd in which nspawn's notes end with it."""
_ENVIRONMENT = ("env", "-i", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted layer.

    Attributes:
        layer: what it booted from; files can be read and written at `layer.path` meanwhile,
            but not its /run, /tmp and /proc: those are at `seen`.
        pid: its init, seen from outside.
        console: the file of what it said at the console.
    """

    layer: Layer
    pid: int
    console: Path

    def run(self, *command: str, check: bool = True, timeout_s: float = 180) -> str:
        """Run a command as root inside and return what it printed on standard output.

        Raises:
            RuntimeError: it failed, and `check` is set; the text has its errors.
        """
        enter = ["nsenter", "-t", str(self.pid), "-a", *_ENVIRONMENT]
        return _run(list(command), enter, check=check, timeout_s=timeout_s)

    @property
    def seen(self) -> Path:
        """Its whole file tree with all mounts, as its init sees it."""
        return Path(f"/proc/{self.pid}/root")

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit, as `systemctl show` prints them."""
        lines = self.run("systemctl", "show", unit, "-p", ",".join(names)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit: str) -> str:
        """Return the messages of a unit since the boot."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def wait_until(self, holds: Callable[[], bool], what: str, *, timeout_s: float = 180) -> None:
        """Wait until `holds()` is true; fail with `what` and what the machine says."""
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline_s:
                failed = self.run("systemctl", "--failed", "--plain", "--no-legend", check=False)
                said = self.run("journalctl", "--no-pager", "-n", "60", "-o", "cat", check=False)
                raise AssertionError(f"waited {timeout_s:g} s: {what}\n{failed}\n{said}")
            time.sleep(0.1)

    def plug(self, device: str, netns: str, peer: str, *, mac: str | None = None) -> None:
        """Plug in a cable: `device` inside, its other end `peer` in the namespace `netns`, both up.

        `mac` is the device's address inside, e.g. one that two sticks share.
        """
        command = f"ip link add name {peer} netns {netns} type veth peer name {device}".split()
        command += ["netns", str(self.pid)]
        _run([*command, *(["address", mac] if mac else [])])
        _run(["ip", "netns", "exec", netns, "ip", "link", "set", peer, "up"])
        self.run("ip", "link", "set", device, "up")

    def unplug(self, device: str) -> None:
        """Pull the cable out with its device."""
        self.run("ip", "link", "delete", device)


def in_layer(layer: Layer, *command: str, check: bool = True, timeout_s: float = 240) -> str:
    """Run a command as root in a layer that is not booted; return its standard output.

    Raises:
        RuntimeError: it failed, and `check` is set; the text has its errors.
    """
    enter = _nspawn(layer, "--pipe", *_ENVIRONMENT)
    return _run(list(command), enter, check=check, timeout_s=timeout_s)


@contextmanager
def booted(layer: Layer, *, wait: bool = True) -> Iterator[Machine]:
    """Boot a layer, give the machine, and at the end pull its plug.

    Args:
        wait: until systemd says that the boot is over (units may have failed); else
            only until there is an init to run commands by.
    """
    console = layer.folder / "console.log"
    options = ("--boot", "--console=pipe", "--link-journal=no", "--timezone=off")
    with console.open("wb") as said:
        nspawn = subprocess.Popen(
            _nspawn(layer, *options, "systemd.show_status=1"),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is the test's to hear; it ends its machines
        )
    try:
        machine = Machine(layer, _init_of(nspawn, console), console)
        if wait:
            _await_boot(machine)
        yield machine
    finally:
        # With the groups below it: the kernel kills what is started in one that was killed once.
        end_cgroup(layer.cgroup)
        nspawn.wait(timeout=120)


def _nspawn(layer: Layer, *more: str) -> list[str]:
    """Return a command line that runs nspawn in the layer's control group; dies with us."""
    layer.cgroup.mkdir(exist_ok=True)
    enter = ["setpriv", "--pdeathsig", "KILL", "sh", "-ec", _ENTER, "sh", str(layer.cgroup)]
    nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"]
    # The name makes the machine's control groups; the folder's name is unique.
    # A container may not even read the kernel's clock; a probe may. (To set it needs CAP_SYS_TIME.)
    nspawn += ["--system-call-filter=adjtimex clock_adjtime"]
    nspawn += ["--resolv-conf=off", f"--machine=t-{layer.folder.name}", "-D", str(layer.path)]
    return [*enter, *nspawn, *more]


def _init_of(nspawn: "subprocess.Popen[bytes]", console: Path) -> int:
    """Return the process id of the machine's init, as soon as there is one."""
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s and nspawn.poll() is None:
        for child in psutil.Process(nspawn.pid).children(recursive=True):
            if _is_init(child.pid):
                return child.pid
        time.sleep(0.02)
    raise RuntimeError(f"cannot boot: nspawn said {console.read_text(errors='replace')!r}")


def _is_init(pid: int) -> bool:
    """Whether a process is the first of its own namespace, and systemd already."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return fields["NSpid"].split()[-1] == "1" and fields["Name"].strip() == "systemd"


def _await_boot(machine: Machine) -> None:
    deadline_s = time.monotonic() + BOOT_S
    state = ""
    while time.monotonic() < deadline_s:
        state = machine.run("systemctl", "is-system-running", "--wait", check=False).strip()
        if state in ("running", "degraded"):
            return
        time.sleep(0.1)
    said = machine.console.read_text(errors="replace")
    raise RuntimeError(f"cannot boot in {BOOT_S:g} s: systemd is {state!r}; it said {said[-3000:]}")


def _run(
    command: list[str], enter: Sequence[str] = (), *, check: bool = True, timeout_s: float = 180
) -> str:
    """Run a command, behind the one that takes it to where it belongs."""
    done = subprocess.run(
        [*enter, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise RuntimeError(f"cannot run {' '.join(command)!r} ({done.returncode}): {said}")
    return done.stdout
