"""The tcp check: one handshake over one line, then a plain close.

The time is the kernel's own round trip of SYN and SYN-ACK, which the event
loop cannot lengthen; where a SYN had to be sent again it is the time from
connect() to established, since that is what a user would have waited.
Source: RFC 9293; struct tcp_info.
"""

import asyncio
import socket

from linewatch_agent.checks.arrivals import connect
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.failures import os_failure
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.line_socket import AF, line_socket, sockaddr
from linewatch_agent.tcp_facts import tcp_facts
from linewatch_core.records import quantise_us


async def check_tcp(
    device: str, address: str, family: int, *, port: int, timeout_s: float, clock: Clock
) -> Outcome:
    """Connect to an address literal and return the outcome."""
    failure: str | None = None
    elapsed_us: float | None = None
    try:
        sock = line_socket(device, AF[family], socket.SOCK_STREAM)
    except OSError as error:
        return Outcome(failure=os_failure(error), family=family, address=address)
    with sock:
        try:
            started_ns = clock.monotonic_ns()
            async with asyncio.timeout(timeout_s):
                await connect(sock, sockaddr(device, address, port))
            elapsed_us = (clock.monotonic_ns() - started_ns) / 1000
        except OSError as error:
            failure = os_failure(error)
        facts = tcp_facts(sock)
    if elapsed_us is not None and facts.rtt_us is not None:
        elapsed_us = min(elapsed_us, facts.rtt_us)
    return Outcome(
        failure=failure,
        rtt_us=None if elapsed_us is None else quantise_us(elapsed_us),
        family=family,
        address=address,
        bytes_out=facts.bytes_out,
        bytes_in=facts.bytes_in,
    )
