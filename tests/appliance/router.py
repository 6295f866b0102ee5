"""A router at home: DHCP, and DNS if wanted, at one end of a cable."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.appliance.root import base_root
from tests.support.netns import Netns


@contextmanager
def router(
    netns: Netns, device: str, net: str, *, names_lead_to: str | None = None
) -> Iterator[None]:
    """Serve a /24 at a device of a namespace, by the root's own dnsmasq.

    Args:
        net: the network's first three numbers; the router is its .1, who asks gets its .100.
        names_lead_to: the address of every name; None: no name server.
    """
    netns.run("ip", "address", "add", f"{net}.1/24", "dev", device)
    options = [f"--interface={device}", f"--dhcp-range={net}.100,{net}.100,255.255.255.0,1h"]
    options += ["--no-daemon", "--bind-interfaces", "--leasefile-ro", "--conf-file=/dev/null"]
    options += ["--user=root", "--pid-file="]
    if names_lead_to is None:
        options += ["--port=0"]
    else:
        options += ["--no-resolv", "--no-hosts", "--except-interface=lo"]
        options += [f"--address=/#/{names_lead_to}"]
    command = netns.inside("chroot", str(base_root()), "/usr/sbin/dnsmasq", *options)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.kill()
