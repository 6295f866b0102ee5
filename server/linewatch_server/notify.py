"""Tells systemd that the server is ready, or stopping (sd_notify(3)).

One datagram to the socket that systemd names; without one, as in a terminal,
nothing is sent.
"""

import os
import socket


def notify(message: str) -> None:
    """Send `READY=1` or the like; a message that can't be sent is dropped."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(message.encode(), address)
    except OSError:
        return
