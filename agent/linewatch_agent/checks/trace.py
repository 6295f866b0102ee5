"""The trace check: which routers lie on the way, by UDP with rising time to live.

An unprivileged socket, bound to the line: the kernel puts the routers' errors in
its error queue. One probe every 50 ms, at most 20 hops, twice at most, and no
more once the target answered. Hops of the host's own network are dropped before
anything is returned. Source: traceroute(8), ip(7) IP_RECVERR.
"""

import asyncio
import ipaddress
import socket

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.error_queue import queued_errors, send_past_errors
from linewatch_agent.checks.failures import GENERIC_TIMEOUT, os_failure
from linewatch_agent.checks.icmp_packets import RECVERR
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.trace_packets import (
    ICMP_HEADER_BYTES,
    PAYLOAD,
    PORT_BASE,
    hop_limit,
    parse_error,
    public_path,
)
from linewatch_agent.line_socket import AF, line_socket, sockaddr
from linewatch_agent.tcp_facts import IP_HEADER_BYTES, UDP_HEADER_BYTES
from linewatch_core.details import Hop, TraceDetail
from linewatch_core.records import quantise_us

HOPS_MAX = 20
_SPACING_S = 0.05
_WAVES = 2
_READS_MAX = 64


async def check_trace(
    device: str, address: str, family: int, *, timeout_s: float, clock: Clock
) -> Outcome:
    """Trace the path to an address literal; ends within `timeout_s`.

    A target that does not answer itself (many drop such probes) is the failure
    `generic_timeout_error`, with the hops that did.
    """
    try:
        with _Tracer(device, address, family, clock=clock) as tracer:
            try:
                async with asyncio.timeout(timeout_s):
                    await tracer.run(wave_s=timeout_s / _WAVES)
            except OSError as error:  # the end of the time is one, and so is a line that dies
                return tracer.outcome(failure=os_failure(error))
            return tracer.outcome(failure=GENERIC_TIMEOUT)
    except OSError as error:
        return Outcome(failure=os_failure(error), family=family, address=address)


class _Tracer:
    """One trace: its socket, what was sent when, and who answered."""

    def __init__(self, device: str, address: str, family: int, *, clock: Clock) -> None:
        self._device = device
        self._address = str(ipaddress.ip_address(address))
        self._family = family
        self._clock = clock
        self._own = self._own_address()
        self._sent_ns: dict[int, int] = {}
        self._hops: dict[int, Hop] = {}
        self._reached: int | None = None
        self._complete = asyncio.Event()
        self._sent = self._heard = 0
        self._sock = line_socket(device, AF[family], socket.SOCK_DGRAM)
        self._sock.setsockopt(*RECVERR[family], 1)

    def __enter__(self) -> "_Tracer":
        asyncio.get_running_loop().add_reader(self._sock, self._on_readable)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    async def run(self, *, wave_s: float) -> None:
        """Send waves of probes for what has not answered, until all has."""
        loop = asyncio.get_running_loop()
        for _ in range(_WAVES):
            ends_at = loop.time() + wave_s
            for ttl in range(1, HOPS_MAX + 1):
                if self._reached is not None and ttl >= self._reached:
                    break
                if ttl not in self._hops:
                    self._send(ttl)
                    await asyncio.sleep(_SPACING_S)
            try:
                async with asyncio.timeout_at(ends_at):
                    await self._complete.wait()
                    return
            except TimeoutError:
                continue

    def outcome(self, *, failure: str) -> Outcome:
        """Return what was heard, without the host's own part of the path.

        `failure` counts where the target did not answer.
        """
        reached = self._reached
        heard = [hop for hop in self._hops.values() if reached is None or hop.ttl <= reached]
        hops, first_ttl = public_path(heard, own=self._own)
        ip_bytes = IP_HEADER_BYTES[self._family]
        probe_bytes = ip_bytes + UDP_HEADER_BYTES + len(PAYLOAD)
        return Outcome(
            failure=failure if reached is None else None,
            rtt_us=None if reached is None else self._hops[reached].rtt_us,
            family=self._family,
            address=self._address,
            detail=TraceDetail(hops, first_ttl, reached or HOPS_MAX, reached is not None),
            bytes_out=self._sent * probe_bytes,
            bytes_in=self._heard * (ip_bytes + ICMP_HEADER_BYTES + probe_bytes),
        )

    def _own_address(self) -> str:
        """Return the address that the line sends from; raise OSError without a route."""
        with line_socket(self._device, AF[self._family], socket.SOCK_DGRAM) as sock:
            sock.connect(sockaddr(self._device, self._address, PORT_BASE))
            return str(sock.getsockname()[0])

    def _send(self, ttl: int) -> None:
        to = sockaddr(self._device, self._address, PORT_BASE + ttl)

        def send() -> None:
            self._sent_ns[ttl] = self._clock.monotonic_ns()
            self._sock.sendmsg([PAYLOAD], [hop_limit(self._family, ttl)], 0, to)

        send_past_errors(send, self._drain_errors)
        self._sent += 1

    def _on_readable(self) -> None:
        self._drain_errors()
        for _ in range(_READS_MAX):
            try:
                _, source = self._sock.recvfrom(2048)
            except OSError:
                return
            self._heard += 1
            self._take(source[1] - PORT_BASE, source[0])

    def _drain_errors(self) -> None:
        """Take the queued errors."""
        for _, ancillary, to in queued_errors(self._sock, most=_READS_MAX):
            said = parse_error(self._family, ancillary)
            if said is not None:
                self._heard += 1
                self._take(to[1] - PORT_BASE, said.address)

    def _take(self, ttl: int, address: str) -> None:
        sent_ns = self._sent_ns.get(ttl)
        own = address == self._own != self._address  # the line is down: our own kernel says so
        if sent_ns is None or ttl in self._hops or own:
            return
        rtt_us = (self._clock.monotonic_ns() - sent_ns) / 1000
        self._hops[ttl] = Hop(ttl, address, quantise_us(rtt_us))
        if address == self._address:
            self._reached = min(ttl, self._reached or ttl)
        if self._reached and all(each in self._hops for each in range(1, self._reached)):
            self._complete.set()
