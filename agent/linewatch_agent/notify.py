"""What the agent tells systemd: ready, alive, how it is in words, stopping.

One datagram each to the socket that systemd names (sd_notify(3)). Without one,
as in a terminal, nothing is sent. A message that can't be sent is dropped: the
watchdog is the one that minds. Knows nothing of what is told.
"""

import os
import socket
from collections.abc import Mapping

STATUS_CHARS_MAX = 200


class Notifier:
    """Sends to systemd's notification socket, if there is one."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        """Send to `address`: a path, or `@name` for an abstract socket; None: to nobody.

        Args:
            watchdog_s: within how many seconds systemd wants to hear `alive`; None: never.
        """
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], *, pid: int) -> "Notifier":
        """Return the notifier that systemd meant for process `pid`."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls(None)
        usec = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(usec) / 1e6 if usec.isdecimal() and int(usec) and meant else None
        return cls(address, watchdog_s=watchdog_s)

    def ready(self) -> None:
        """Say that the start is over."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """Say in one line how it is: `systemctl status` shows it."""
        self._send(f"STATUS={' '.join(words.split())[:STATUS_CHARS_MAX]}")

    def stopping(self) -> None:
        """Say that it ends, on purpose."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        address = self._address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(message.encode(), address)
        except OSError:
            return


def systemd_notifier() -> Notifier:
    """Return the notifier that the environment of this process means."""
    return Notifier.of_environment(os.environ, pid=os.getpid())
