"""The icmp check: one datagram ICMP socket a line and family, for any number of targets.

Send time is read just before `sendto`, receive time is the kernel's own, so a
busy event loop does not lengthen a round trip. A reply counts only if source,
sequence number and nonce are those of an echo still waited for. The invariant:
an error about one target never becomes the outcome of another.
Source: ip(7) IP_RECVERR, socket(7) SO_TIMESTAMPNS; docs/measurements.md for the bias.
"""

import asyncio
import errno
import secrets
import socket
from dataclasses import dataclass
from functools import partial

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.error_queue import queued_errors, send_past_errors
from linewatch_agent.checks.failures import (
    GENERIC_TIMEOUT,
    INTERRUPTED,
    errno_failure,
    os_failure,
)
from linewatch_agent.checks.icmp_packets import (
    ECHO_BYTES,
    NONCE_BYTES,
    RECVERR,
    Echo,
    echo_request,
    parse_echo_reply,
    parse_queued_error,
)
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.stamps import Ancillary, arrived_ns, stamp_arrivals
from linewatch_agent.line_socket import AF, line_socket, parse_ip, sockaddr
from linewatch_agent.tcp_facts import IP_HEADER_BYTES
from linewatch_core.records import quantise_us

_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_READS_MAX = 256
_SEQUENCES = 1 << 16


@dataclass(slots=True)
class _Waiting:
    """An echo on its way: the result is a round trip in ns, or a failure name."""

    source: bytes
    nonce: bytes
    result: asyncio.Future[int | str]
    sent_ns: int = 0


class Pinger:
    """Pings over one line and family. Opens its socket at the first ping."""

    def __init__(self, device: str, family: int, *, clock: Clock) -> None:
        self._device = device
        self._family = family
        self._clock = clock
        self._sock: socket.socket | None = None
        self._index = 0
        self._sequence = secrets.randbelow(_SEQUENCES)
        self._waiting: dict[int, _Waiting] = {}

    async def ping(self, address: str, *, timeout_s: float) -> Outcome:
        """Send one echo request to an address literal and wait for its reply."""
        sequence = self._next_sequence()
        if sequence is None:
            return Outcome(failure="no_buffer_space", family=self._family, address=address)
        nonce = secrets.token_bytes(NONCE_BYTES)
        packet = echo_request(self._family, sequence, nonce)
        waiting = _Waiting(
            source=parse_ip(address.partition("%")[0]).packed,
            nonce=nonce,
            result=asyncio.get_running_loop().create_future(),
        )
        self._waiting[sequence] = waiting
        wire_bytes = IP_HEADER_BYTES[self._family] + ECHO_BYTES
        try:
            self._send(packet, sockaddr(self._device, address), waiting)
            result = await _result(waiting, timeout_s)
        except OSError as error:
            failure = os_failure(error)
            return Outcome(failure=failure, family=self._family, address=address)
        finally:
            del self._waiting[sequence]
        if isinstance(result, str):
            return Outcome(
                failure=result, family=self._family, address=address, bytes_out=wire_bytes
            )
        return Outcome(
            failure=None,
            rtt_us=quantise_us(result / 1000),
            family=self._family,
            address=address,
            bytes_out=wire_bytes,
            bytes_in=wire_bytes,
        )

    def close(self) -> None:
        """Close the socket; pings still waiting end as `interrupted`."""
        for waiting in self._waiting.values():
            if not waiting.result.done():
                waiting.result.set_result(INTERRUPTED)
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _next_sequence(self) -> int | None:
        for _ in range(_SEQUENCES):
            self._sequence = (self._sequence + 1) % _SEQUENCES
            if self._sequence not in self._waiting:
                return self._sequence
        return None

    def _open(self) -> socket.socket:
        """Return the socket; a device that was unplugged and came back gets a new one."""
        try:
            index = socket.if_nametoindex(self._device)
        except OSError as error:  # without an errno, which is what tells a gone device
            raise OSError(errno.ENODEV, "no such device") from error
        if self._sock is not None and index == self._index:
            return self._sock
        sock = line_socket(
            self._device, AF[self._family], socket.SOCK_DGRAM, _PROTOCOL[self._family]
        )
        loop = asyncio.get_running_loop()
        try:
            sock.setsockopt(*RECVERR[self._family], 1)
            stamp_arrivals(sock)
            loop.add_reader(sock, self._on_readable)
        except BaseException:
            # A socket that nobody reads must not stay: no echo would ever be heard again.
            sock.close()
            raise
        if self._sock is not None:
            loop.remove_reader(self._sock)
            self._sock.close()
        self._sock, self._index = sock, index
        return sock

    def _send(self, packet: bytes, destination: tuple[object, ...], waiting: _Waiting) -> None:
        sock = self._open()

        def send() -> None:
            waiting.sent_ns = self._clock.monotonic_ns()
            sock.sendto(packet, destination)

        send_past_errors(send, partial(self._drain_errors, sock))

    def _on_readable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        self._drain_errors(sock)
        for _ in range(_READS_MAX):
            try:
                packet, ancillary, _, source = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError:
                self._drain_errors(sock)
                continue
            self._take_reply(packet, ancillary, source[0])

    def _take_reply(self, packet: bytes, ancillary: Ancillary, source: str) -> None:
        echo = parse_echo_reply(self._family, packet)
        waiting = self._match(echo) if echo is not None else None
        if waiting is None:
            return
        if parse_ip(source.partition("%")[0]).packed != waiting.source:
            return
        at_ns = arrived_ns(ancillary, since_ns=waiting.sent_ns, clock=self._clock)
        waiting.result.set_result(at_ns - waiting.sent_ns)

    def _drain_errors(self, sock: socket.socket) -> None:
        """Give each queued error to the echo that it quotes."""
        for quoted, ancillary, _ in queued_errors(sock, most=_READS_MAX):
            parsed = parse_queued_error(self._family, quoted, ancillary)
            if parsed is None:
                continue
            waiting = self._match(parsed[0])
            if waiting is not None:
                waiting.result.set_result(errno_failure(parsed[1]))

    def _match(self, echo: Echo) -> _Waiting | None:
        waiting = self._waiting.get(echo.sequence)
        if waiting is None or waiting.result.done():
            return None
        return waiting if waiting.nonce.startswith(echo.nonce) else None


async def _result(waiting: _Waiting, timeout_s: float) -> int | str:
    """Return the result; a reply that the kernel had in time counts, however late we read it."""
    loop = asyncio.get_running_loop()
    # What was readable is read before a timer that is due in the same turn of the loop.
    timer = loop.call_later(timeout_s, _expire, waiting.result)
    try:
        result = await waiting.result
    finally:
        timer.cancel()
    if isinstance(result, int) and result > timeout_s * 1e9:
        return GENERIC_TIMEOUT
    return result


def _expire(result: "asyncio.Future[int | str]") -> None:
    if not result.done():
        result.set_result(GENERIC_TIMEOUT)
