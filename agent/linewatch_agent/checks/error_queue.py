"""The ICMP errors that the kernel puts on a socket's error queue, and sending in spite of them.

Source: ip(7), IP_RECVERR; net/core/skbuff.c, sock_queue_err_skb.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Any

from linewatch_agent.checks.stamps import Ancillary

SEND_TRIES = 3


def queued_errors(sock: socket.socket, *, most: int) -> Iterator[tuple[bytes, Ancillary, Any]]:
    """Take what is queued, at most so many: what an error quotes, its control data, and to whom
    the quoted packet went."""
    for _ in range(most):
        try:
            quoted, ancillary, _, to = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return
        yield quoted, ancillary, to


def send_past_errors(send: Callable[[], None], drain: Callable[[], None]) -> None:
    """Send; what fails may be another packet's error, left on the socket, so we try again.

    The kernel puts an error on the queue a moment before it puts it on the socket: the queue may
    be empty, and the error another's all the same. Raises OSError if it comes back.

    Args:
        drain: takes the queued errors; called after each that `send` met.
    """
    for attempt in range(SEND_TRIES):
        try:
            send()
        except OSError:
            drain()
            if attempt == SEND_TRIES - 1:
                raise
        else:
            return
