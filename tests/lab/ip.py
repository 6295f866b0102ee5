"""Running ip(8) for the lab, and making its namespaces."""

import json
import os
import shutil
import subprocess
import time

from tests.lab import wiring
from tests.lab.plan import CountryPlan

SETTLED_S = 60.0
"""What a kernel is given to take in what became of a cable; it needs up to a second."""
_ROUTERS = ("home", "exchange", "gateway")
_SYSCTLS = (
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    # As an installed probe allows it.
    "net.ipv4.ping_group_range=0 2147483647",
)


def demand_root() -> None:
    """Raise RuntimeError, saying what to do, unless the lab can be made here."""
    if os.geteuid() != 0:
        raise RuntimeError(
            "cannot make the lab: it needs root for network namespaces; "
            "run it with sudo, or in a container with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
        )
    for tool, package in (("ip", "iproute2"), ("sysctl", "procps")):
        if shutil.which(tool) is None:
            raise RuntimeError(f"cannot make the lab: no `{tool}`; apt-get install {package}")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise RuntimeError("cannot make the lab: no /dev/net/tun; modprobe tun")


def make_namespaces(plan: CountryPlan, name_of: dict[str, str]) -> None:
    """Make a namespace per place, IPv4 only, and the cables between them."""
    batch([f"netns add {name}" for name in name_of.values()])
    routers = {*_ROUTERS, *(each.name for each in plan.operator)}
    for place, name in name_of.items():
        settings = (*_SYSCTLS, f"net.ipv4.ip_forward={int(place in routers)}")
        _run("ip", "netns", "exec", name, "sysctl", "-q", "-w", *settings)
    batch(wiring.veths(plan, name_of))


def batch(commands: list[str], *, netns: str | None = None) -> None:
    """Run commands for ip(8), in a namespace or here; RuntimeError says which failed."""
    where = () if netns is None else ("-n", netns)
    _run("ip", *where, "-batch", "-", text="\n".join(commands))


def await_cable(netns: str, device: str, *, up: bool) -> None:
    """Wait until the kernel has taken in that the far end of a device's cable is up, or down.

    It does so at most once a second for all devices of the machine; a packet sent meanwhile
    into a cable that is down is an error of the sender's, and no silence.
    """
    deadline = time.monotonic() + SETTLED_S
    while (_state(netns, device) == "UP") is not up:
        if time.monotonic() > deadline:
            raise RuntimeError(f"cannot settle {device} for the lab: {_state(netns, device)}")
        time.sleep(0.01)


def _state(netns: str, device: str) -> str:
    (link,) = json.loads(_run("ip", "-n", netns, "-json", "link", "show", "dev", device))
    return str(link["operstate"])


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot run {' '.join(command)!r} for the lab: {done.stderr.strip()}")
    return done.stdout
