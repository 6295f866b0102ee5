"""What the checks' tests share: a line on loopback and short ways to run a check on it."""

import errno
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from linewatch_agent.checks import LineChecks, Outcome
from linewatch_agent.checks.clocks import SYSTEM_CLOCK
from linewatch_agent.checks.stamps import STAMP_BYTES, arrived_ns, stamp_arrivals
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target
from tests.agent.checks.servers import RESOLVER

TIMEOUT_S = 5.0
"""Long: only a check that must time out gets a short one."""


def loopback(**changes: Any) -> Line:
    """Return a line on `lo`."""
    values: dict[str, Any] = {"families": (4, 6), "resolvers": (RESOLVER,), **changes}
    return Line("fixed-1", LineKind.FIXED, "lo", **values)


def target(host: str, check: Check, **changes: Any) -> Target:
    """Return a target with one check."""
    values: dict[str, Any] = {"role": Role.INTERNATIONAL, **changes}
    return Target(id="t", host=host, checks=(check,), **values)


class LateError:
    """A socket whose first packet meets an error that another one left, its queue still empty."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = [OSError(errno.EHOSTUNREACH, "another's")]

    def sendto(self, *args: Any) -> int:
        """Send, after the one error."""
        return self._after_error(self._sock.sendto, *args)

    def sendmsg(self, *args: Any) -> int:
        """Send, after the one error."""
        return self._after_error(self._sock.sendmsg, *args)

    def _after_error(self, send: Callable[..., int], *args: Any) -> int:
        if self._left:
            raise self._left.pop()
        return send(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@contextmanager
def kernel_stamps() -> Iterator[None]:
    """Have the kernel stamp datagrams as they come; until then a stamp tells when one is read.

    It begins a moment after a first socket asked for it (net_enable_timestamp leaves it to a
    worker), and ends with the last one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        stamp_arrivals(sock)
        stamped = False
        while not stamped:
            sent_ns = SYSTEM_CLOCK.monotonic_ns()
            sock.sendto(b"?", sock.getsockname())
            time.sleep(0.002)
            read_ns = SYSTEM_CLOCK.monotonic_ns()
            _, ancillary, _, _ = sock.recvmsg(10, STAMP_BYTES)
            stamped = arrived_ns(ancillary, since_ns=sent_ns, clock=SYSTEM_CLOCK) < read_ns
        yield


@asynccontextmanager
async def line_checks(
    line: Line | None = None, *, context: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[LineChecks]:
    """Yield the checks of a line and close them."""
    checks = LineChecks(line or loopback(), context=context, **changes)
    try:
        yield checks
    finally:
        await checks.close()


async def run_once(
    check: Check,
    host: str,
    family: int = 4,
    *,
    line: Line | None = None,
    timeout_s: float = TIMEOUT_S,
    context: ssl.SSLContext | None = None,
    dns_port: int = 53,
    body_bytes_max: int = 65_536,
    **changes: Any,
) -> Outcome:
    """Run one check on a line and return its outcome; `changes` are the target's."""
    async with line_checks(
        line, context=context, dns_port=dns_port, body_bytes_max=body_bytes_max
    ) as checks:
        return await checks.run(check, target(host, check, **changes), family, timeout_s=timeout_s)
