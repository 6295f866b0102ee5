"""From a target's host to an address, by the line's own means and no other line's.

A literal stands for itself, `@gateway` and `@resolver` for the line's own, and
a name is asked for at the line's resolver on a bound socket. Nothing here may
keep a check from being made: for icmp and tcp a lookup that fails falls back
to the last address that this line heard for the name, of whatever age, so that
a dead resolver is not taken for dead hosts.
"""

import functools
import ipaddress
from dataclasses import dataclass, replace

from yarl import URL

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.dns_exchange import Server, ask
from linewatch_agent.checks.failures import (
    ADDRESS_FAMILY_NOT_SUPPORTED,
    NO_GATEWAY,
    NO_RESOLVER,
    unknown_failure,
)
from linewatch_agent.line_socket import ip_version, parse_ip
from linewatch_agent.plan.line import Line
from linewatch_core.errors import MalformedError
from linewatch_core.targets import GATEWAY_HOST, RESOLVER_HOST, Target

LOOKUP_SHARE = 0.5
"""How much of a check's time finding its address may take."""
FRESH_S = 60.0
"""icmp and tcp share an answer for this long: one lookup a minute, not one a check."""
_TRIES = 2
"""A stub resolver's habit: one lost packet is no failed lookup (resolv.conf(5) attempts)."""


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of finding an address.

    Attributes:
        address: a literal, or None if there is none.
        failure: why there is none; set if and only if `address` is None.
        private: the address belongs to the host's own network and is never recorded.
        lookup_us: how long the lookup took; 0 without one.
        bytes_out, bytes_in: of the lookup.
    """

    address: str | None = None
    failure: str | None = None
    private: bool = False
    lookup_us: float = 0.0
    bytes_out: int = 0
    bytes_in: int = 0


@dataclass(frozen=True, slots=True)
class _Remembered:
    address: str
    heard_ns: int


class HostFinder:
    """Finds addresses over one line, and remembers what that line was told."""

    def __init__(self, line: Line, *, clock: Clock, dns_port: int) -> None:
        self._line = line
        self._clock = clock
        self._dns_port = dns_port
        self._remembered: dict[tuple[str, int], _Remembered] = {}
        self._own = _own_addresses(line)
        self._near = _near_addresses(line)

    def is_own(self, host: str) -> bool:
        """Return whether `host` is the address of the line's own gateway or resolver.

        A portal or a router that answers with itself must not put the host's
        network on record. A public resolver's address tells nothing and is not own.
        """
        return is_literal(host) and parse_ip(host) in self._own

    def is_near(self, address: str) -> bool:
        """Return whether an address lies in the network of a gateway of the line (/24 or /64).

        A forged answer may lead to a device in the host's home: what answers there
        is nobody's business.
        """
        parsed = parse_ip(address)
        return any(parsed in network for network in self._near)

    def resolver(self, family: int | None = None) -> str | None:
        """Return the line's first name server (of `family`) that the line can reach, or None."""
        for address in self._line.resolvers:
            version = ip_version(address)
            if version in self._line.families and family in (None, version):
                return address
        return None

    def server(self, address: str) -> Server:
        """Return a name server as seen from this line."""
        return Server(self._line.device, address, self._dns_port)

    async def find(self, host: str, family: int, *, timeout_s: float, afresh: bool) -> Found:
        """Return an address of `host` in `family`.

        Args:
            timeout_s: bounds a lookup.
            afresh: ask anew and do not fall back (the http check, which measures it).
        """
        if host == GATEWAY_HOST:
            return _own(self._line.gateways.get(family), NO_GATEWAY)
        if host == RESOLVER_HOST:
            return _own(self.resolver(family), NO_RESOLVER)
        if is_literal(host):
            if ip_version(host) != family:
                return Found(failure=ADDRESS_FAMILY_NOT_SUPPORTED)
            return Found(address=host)
        return await self._find_name(host, family, timeout_s=timeout_s, afresh=afresh)

    async def _find_name(self, name: str, family: int, *, timeout_s: float, afresh: bool) -> Found:
        key = (name, family)
        known = self._remembered.get(key)
        if known is not None and not afresh:
            age_s = (self._clock.monotonic_ns() - known.heard_ns) / 1e9
            if age_s < FRESH_S:
                return self._named(known.address)
        found = await self._look_up(name, family, timeout_s=timeout_s)
        if found.address is not None:
            self._remembered[key] = _Remembered(found.address, self._clock.monotonic_ns())
        elif known is not None and not afresh:
            fallback = self._named(known.address)
            return replace(fallback, bytes_out=found.bytes_out, bytes_in=found.bytes_in)
        return found

    def _named(self, address: str) -> Found:
        return Found(address=address, private=self.is_own(address))

    async def _look_up(self, name: str, family: int, *, timeout_s: float) -> Found:
        resolver = self.resolver()
        if resolver is None:
            return Found(failure=NO_RESOLVER)
        server = self.server(resolver)
        started_ns = self._clock.monotonic_ns()
        bytes_out = bytes_in = 0
        failure: str | None = None
        for _ in range(_TRIES):
            try:
                heard = await ask(
                    server,
                    name,
                    family,
                    timeout_s=timeout_s / _TRIES,
                    listen_on_s=0.0,
                    clock=self._clock,
                )
            except MalformedError as error:
                return Found(failure=unknown_failure(error))
            bytes_out, bytes_in = bytes_out + heard.bytes_out, bytes_in + heard.bytes_in
            failure = heard.failure
            if heard.first is not None:
                break
        lookup_us = (self._clock.monotonic_ns() - started_ns) / 1000
        if heard.first is None or failure is not None:
            return Found(failure=failure, bytes_out=bytes_out, bytes_in=bytes_in)
        named = self._named(heard.first.addresses[0])
        return replace(named, lookup_us=lookup_us, bytes_out=bytes_out, bytes_in=bytes_in)


def page_of(target: Target) -> tuple[URL, str]:
    """Return what to fetch of a target, and where to connect to.

    That is where the URL's name leads, or `host` where that is an address: so a
    target can ask one address for several names.
    """
    return _page(target.url, target.host)


@functools.lru_cache(maxsize=1024)
def _page(text: str | None, host: str) -> tuple[URL, str]:
    bracketed = f"[{host}]" if ":" in host else host
    url = URL(text or f"https://{bracketed}/")
    fixed = host.startswith("@") or is_literal(host)
    return url, host if fixed else url.raw_host or host


@functools.lru_cache(maxsize=1024)
def is_literal(host: str) -> bool:
    """Return whether `host` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _own_addresses(line: Line) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    texts = (*line.gateways.values(), *line.resolvers)
    addresses = (ipaddress.ip_address(text.partition("%")[0]) for text in texts)
    return frozenset(address for address in addresses if not address.is_global)


def _near_addresses(line: Line) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    gateways = (text.partition("%")[0] for text in line.gateways.values())
    prefix = {4: 24, 6: 64}
    return tuple(
        ipaddress.ip_network(f"{text}/{prefix[ip_version(text)]}", strict=False)
        for text in gateways
    )


def _own(address: str | None, missing: str) -> Found:
    if address is None:
        return Found(failure=missing, private=True)
    return Found(address=address, private=True)
