"""The checks that tell why: each holds one thing against another, on one line.

What they need of a target beyond `host` is in its own fields. None of them is
made towards the host's own network: a name that leads there is the failure
`own_network`, without an address. Cost: docs/targets.md.
"""

import asyncio
import ssl
from dataclasses import replace
from typing import Literal, TypeAlias, assert_never

from yarl import URL

from linewatch_agent.checks.alternation import check_alternation
from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.contrast import check_contrast
from linewatch_agent.checks.dns_encrypted import shared_tls_context
from linewatch_agent.checks.failures import OWN_NETWORK
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.neighbour import check_neighbour, next_addresses
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.portal import check_portal
from linewatch_agent.checks.resolve import LOOKUP_SHARE, Found, HostFinder, is_literal, page_of
from linewatch_agent.checks.throughput import check_throughput
from linewatch_agent.checks.trace import check_trace
from linewatch_agent.line_socket import ip_version
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check
from linewatch_core.targets import Target

_SCHEMES = {Check.SNI: "https", Check.HOST: "http"}


DeeperCheck: TypeAlias = Literal[
    Check.THROUGHPUT,
    Check.TRACE,
    Check.SNI,
    Check.HOST,
    Check.NEIGHBOUR,
    Check.CONTRAST,
    Check.PORTAL,
]


class DeeperChecks:
    """Runs them over one line; `LineChecks` owns it and names every exception."""

    def __init__(
        self,
        line: Line,
        *,
        finder: HostFinder,
        fetcher: Fetcher,
        context: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        """Take the line's parts; `context` is trust for DNS over TLS (None: the system's)."""
        self._line = line
        self._finder = finder
        self._fetcher = fetcher
        self._context = context
        self._clock = clock

    async def run(
        self, check: DeeperCheck, target: Target, family: int, *, timeout_s: float
    ) -> Outcome:
        """Run one check; ends within `time_limit_s(check, target, timeout_s=timeout_s)`."""
        match check:
            case Check.THROUGHPUT:
                running = self._throughput(target, family, timeout_s=timeout_s)
            case Check.TRACE:
                running = self._trace(target, family, timeout_s=timeout_s)
            case Check.SNI | Check.HOST:
                running = self._alternation(check, target, family, timeout_s=timeout_s)
            case Check.NEIGHBOUR:
                running = self._neighbour(target, family, timeout_s=timeout_s)
            case Check.CONTRAST:
                running = self._contrast(target, family, timeout_s=timeout_s)
            case Check.PORTAL:
                running = self._portal(target, family, timeout_s=timeout_s)
            case _:
                assert_never(check)
        return await running

    async def _throughput(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        url, host = page_of(target)
        return await check_throughput(
            self._fetcher,
            url,
            family,
            host=host,
            bytes_max=target.bytes_max,
            timeout_s=timeout_s,
            clock=self._clock,
        )

    async def _portal(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        url, host = page_of(target)
        return await check_portal(
            self._fetcher,
            url,
            family,
            host=host,
            expected=target.expected,
            timeout_s=timeout_s,
        )

    async def _alternation(
        self, check: Check, target: Target, family: int, *, timeout_s: float
    ) -> Outcome:
        sensitive, host = page_of(target)
        if target.url is None:
            sensitive = sensitive.with_scheme(_SCHEMES[check])
        found = await self._find(host, family, timeout_s=timeout_s)
        if found.address is None:
            return _not_found(found)
        outcome = await check_alternation(
            self._fetcher,
            found.address,
            family,
            neutral=URL.build(
                scheme=sensitive.scheme,
                host=target.neutral or "",
                port=sensitive.explicit_port,
                path="/",
            ),
            sensitive=sensitive,
            pairs=target.pairs,
            bytes_max=target.bytes_max,
            timeout_s=timeout_s,
            clock=self._clock,
        )
        return _with_lookup(outcome, found)

    async def _neighbour(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        found = await self._find(target.host, family, timeout_s=timeout_s * LOOKUP_SHARE)
        if found.address is None:
            return _not_found(found)
        neighbours = next_addresses(found.address)
        if target.neighbour is not None:
            of_family = ip_version(target.neighbour) == family
            neighbours = (target.neighbour,) if of_family else ()
        outcome = await check_neighbour(
            self._line.device,
            found.address,
            family,
            port=target.port,
            neighbours=neighbours,
            timeout_s=timeout_s * (1 - LOOKUP_SHARE / 2),
            clock=self._clock,
        )
        return _with_lookup(outcome, found)

    async def _trace(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        found = await self._find(target.host, family, timeout_s=timeout_s * LOOKUP_SHARE)
        if found.address is None:
            return _not_found(found)
        outcome = await check_trace(
            self._line.device,
            found.address,
            family,
            timeout_s=max(0.0, deadline - loop.time()),
            clock=self._clock,
        )
        return _with_lookup(outcome, found)

    async def _contrast(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        own = self._finder.resolver()
        resolver = target.resolver
        if resolver is not None and ip_version(resolver.address) not in self._line.families:
            resolver = None
        return await check_contrast(
            None if own is None else self._finder.server(own),
            resolver,
            target.query or target.host,
            family,
            device=self._line.device,
            fetcher=self._fetcher,
            context=self._context or shared_tls_context(),
            is_own=self._finder.is_own,
            timeout_s=timeout_s,
            clock=self._clock,
        )

    async def _find(self, host: str, family: int, *, timeout_s: float) -> Found:
        found = await self._finder.find(host, family, timeout_s=timeout_s, afresh=False)
        near = found.address is not None and self._finder.is_near(found.address)
        if near or found.private:
            return replace(found, address=None, failure=OWN_NETWORK)
        return found


def demand_valid_deeper(check: Check, target: Target, cannot: str) -> None:
    """Raise ValueError for a target that config should not have let through."""
    if check in _SCHEMES and target.neutral is None:
        raise ValueError(f"{cannot}: set `neutral`, the name to hold against")
    if check in _SCHEMES and target.url is None and is_literal(target.host):
        raise ValueError(f"{cannot}: `host` is no name; set `url` with the sensitive name")
    if check is Check.CONTRAST and target.resolver is None:
        raise ValueError(f"{cannot}: set `resolver`, whom to ask besides the line's own")
    if check is Check.CONTRAST and target.query is None and is_literal(target.host):
        raise ValueError(f"{cannot}: `host` is no name; set `query`, the name to ask for")


def _not_found(found: Found) -> Outcome:
    return Outcome(failure=found.failure, bytes_out=found.bytes_out, bytes_in=found.bytes_in)


def _with_lookup(outcome: Outcome, found: Found) -> Outcome:
    return replace(
        outcome,
        bytes_out=outcome.bytes_out + found.bytes_out,
        bytes_in=outcome.bytes_in + found.bytes_in,
    )
