"""The http check: name, TCP, TLS, one GET, each step timed and each failing by its own name.

The phases of `timings_us` are durations, in the order of HTTP_TIMINGS: `dns` is
0 for a literal and `tls` for plain http; a phase not completed ends the list.
Redirects are recorded, not followed. `HttpDetail.status` is 0 where no response
came but a certificate chain did. The invariant: no request on an unverified chain.
"""

import asyncio
import hashlib
import socket
import ssl
from dataclasses import dataclass, field

import h11
from yarl import URL

from linewatch_agent.checks.arrivals import connect
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.failures import (
    EOF,
    GENERIC_TIMEOUT,
    HTTP_MALFORMED_REPLY,
    SCRUBBED,
    os_failure,
    scrub_path,
    unknown_failure,
)
from linewatch_agent.checks.http_client import Exchange
from linewatch_agent.checks.link import Link
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.resolve import HostFinder
from linewatch_agent.checks.tls import (
    DIGEST_DIGITS,
    Chain,
    chain_of,
    refused_chain,
    tls_failure,
)
from linewatch_agent.checks.wishes import NO_WISHES, Wishes
from linewatch_agent.line_socket import AF, ip_version, line_socket, sockaddr
from linewatch_agent.tcp_facts import tcp_facts
from linewatch_core.details import HttpDetail
from linewatch_core.records import quantise_us
from linewatch_core.targets import GATEWAY_HOST

LOCATION_LENGTH_MAX = 200


@dataclass(slots=True)
class _Progress:
    """What a fetch has reached so far; what a timeout leaves behind is the outcome."""

    failure: str | None = GENERIC_TIMEOUT
    address: str | None = None
    private: bool = False
    phases_us: list[int] = field(default_factory=list)
    rtt_us: int | None = None
    status: int = 0
    body: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    body_bytes: int = 0
    location: str | None = None
    chain: Chain | None = None
    bytes_out: int = 0
    bytes_in: int = 0

    def outcome(self) -> Outcome:
        """Return the outcome; of the host's own devices no detail, which would tell of them."""
        detail: HttpDetail | None = None
        if (self.status or self.chain) and not self.private:
            digest = self.body.hexdigest()[:DIGEST_DIGITS] if self.status else ""
            chain = self.chain or (None, None)
            detail = HttpDetail(self.status, self.body_bytes, digest, self.location, *chain)
        return Outcome(
            failure=self.failure,
            rtt_us=self.rtt_us,
            family=0 if self.address is None else ip_version(self.address),
            address=None if self.private else self.address,
            timings_us=tuple(self.phases_us),
            detail=detail,
            bytes_out=self.bytes_out,
            bytes_in=self.bytes_in,
        )


class Fetcher:
    """Fetches over one line."""

    def __init__(
        self,
        device: str,
        finder: HostFinder,
        *,
        context: ssl.SSLContext,
        body_bytes_max: int,
        clock: Clock,
    ) -> None:
        self._device = device
        self._finder = finder
        self._context = context
        self._body_bytes_max = body_bytes_max
        self._clock = clock

    async def fetch(
        self, url: URL, family: int, *, host: str, timeout_s: float, wishes: Wishes = NO_WISHES
    ) -> Outcome:
        """GET `url` once and return the outcome; ends within `timeout_s`.

        `host` is where to connect to, as a target would say it; the URL's own host
        is the name for SNI and Host.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout(timeout_s):
                await self._fetch(url, family, host, progress, wishes, timeout_s=timeout_s)
        except TimeoutError as error:
            progress.failure = os_failure(error)
        except Exception as error:
            progress.failure = http_failure(error)
        return progress.outcome()

    async def _fetch(
        self,
        url: URL,
        family: int,
        host: str,
        progress: _Progress,
        wishes: Wishes,
        *,
        timeout_s: float,
    ) -> None:
        found = await self._finder.find(host, family, timeout_s=timeout_s, afresh=True)
        progress.bytes_out, progress.bytes_in = found.bytes_out, found.bytes_in
        progress.address, progress.private = found.address, found.private
        if found.address is None:
            progress.failure = found.failure
            return
        progress.phases_us.append(quantise_us(found.lookup_us))
        with line_socket(self._device, AF[family], socket.SOCK_STREAM) as sock:
            if wishes.window_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wishes.window_bytes)
            link = Link(sock, self._clock)
            try:
                await self._connect(sock, found.address, url, link, progress)
                await self._get(url, Exchange(link), progress, wishes)
            finally:
                facts = tcp_facts(sock)
                progress.bytes_out += facts.bytes_out
                progress.bytes_in += facts.bytes_in
                link.close()

    async def _connect(
        self,
        sock: socket.socket,
        address: str,
        url: URL,
        link: Link,
        progress: _Progress,
    ) -> None:
        started_ns = self._clock.monotonic_ns()
        await connect(sock, sockaddr(self._device, address, url.port or 0))
        connected_ns = self._clock.monotonic_ns()
        progress.phases_us.append(quantise_us((connected_ns - started_ns) / 1000))
        if url.scheme != "https":
            progress.phases_us.append(0)
            return
        try:
            tls = await link.shake_hands(self._context, url.raw_host)
        except ssl.SSLCertVerificationError as error:
            progress.chain = refused_chain(error)
            raise
        progress.phases_us.append(quantise_us((self._clock.monotonic_ns() - connected_ns) / 1000))
        progress.chain = chain_of(tls)

    async def _get(self, url: URL, exchange: Exchange, progress: _Progress, wishes: Wishes) -> None:
        bytes_max = wishes.body_bytes_max or self._body_bytes_max
        sent_ns = self._clock.monotonic_ns()
        response = await exchange.get(url, headers=wishes.headers, bytes_max=bytes_max)
        first_byte_ns = exchange.first_byte_ns or self._clock.monotonic_ns()
        progress.rtt_us = quantise_us((first_byte_ns - sent_ns) / 1000)
        progress.phases_us.append(progress.rtt_us)
        progress.status = response.status_code
        progress.location = self._location(url, response)
        while progress.body_bytes < bytes_max:
            part = (await exchange.part())[: bytes_max - progress.body_bytes]
            if not part:
                break
            wishes.on_part(part)
            progress.body.update(part)
            progress.body_bytes += len(part)
        body_us = (self._clock.monotonic_ns() - first_byte_ns) / 1000
        progress.phases_us.append(quantise_us(body_us))
        progress.failure = None

    def _location(self, url: URL, response: h11.Response) -> str | None:
        """Return a redirect's host and path, without query and what could identify someone."""
        raw = next((value for name, value in response.headers if name == b"location"), None)
        if raw is None:
            return None
        try:
            target = url.join(URL(raw.decode("utf-8", "surrogateescape")))
        except ValueError:
            return SCRUBBED
        host = target.raw_host or ""
        shown = GATEWAY_HOST if self._finder.is_own(host) else host
        return (shown + scrub_path(target.raw_path))[:LOCATION_LENGTH_MAX]


def http_failure(error: Exception) -> str:
    """Return the failure name of what ended a fetch: the http check's table."""
    match error:
        case OSError():
            return tls_failure(error)
        case EOFError():
            return EOF
        case h11.RemoteProtocolError():
            return HTTP_MALFORMED_REPLY
    return unknown_failure(error)
