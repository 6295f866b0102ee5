"""What this machine is called in releases. Standard library only: start files use it too."""

import os
import sys

_MACHINES = {
    "aarch64-linux-gnu": "aarch64",
    "arm-linux-gnueabihf": "armv7l",
    "x86_64-linux-gnu": "x86_64",
}
"""What Python was built for, which on a Pi is not what the kernel says: a 32-bit system may
run on a 64-bit kernel."""


def machine() -> str:
    """Return the kind of processor that this Python is for."""
    if os.uname().machine == "armv6l":
        # The same multiarch name as armv7, but wheels for armv7 would crash.
        return "armv6l"
    multiarch = str(getattr(sys.implementation, "_multiarch", ""))
    return _MACHINES.get(multiarch, multiarch or os.uname().machine)


def machine_tag() -> str:
    """Return machine and Python as releases name them: `aarch64-cp313`."""
    return f"{machine()}-cp{sys.version_info.major}{sys.version_info.minor}"
