"""All checks of one line: what the scheduler calls, and the owner of the line's sockets.

`run` returns an Outcome whatever the network does; only cancellation passes
through. The invariants: no check has a precondition on another's outcome, every
await is under the check's own timeout, and an address of the host's own network
is in no Outcome.
"""

import asyncio
import ssl
from dataclasses import replace

from linewatch_agent.checks.clocks import SYSTEM_CLOCK, Clock
from linewatch_agent.checks.deeper import DeeperChecks, demand_valid_deeper
from linewatch_agent.checks.dns import check_dns
from linewatch_agent.checks.failures import (
    ADDRESS_NOT_AVAILABLE,
    NO_RESOLVER,
    os_failure,
    unknown_failure,
)
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.icmp import Pinger
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.random_name import judged, random_name
from linewatch_agent.checks.resolve import LOOKUP_SHARE, Found, HostFinder, is_literal, page_of
from linewatch_agent.checks.slack import Slack
from linewatch_agent.checks.tcp import check_tcp
from linewatch_agent.checks.tls import shared_context
from linewatch_agent.line_socket import ip_version
from linewatch_agent.plan.line import Line
from linewatch_core.records import Check, Role
from linewatch_core.targets import RESOLVER_HOST, Target

BODY_BYTES_MAX = 65_536
"""Enough of a page to know a block page by, little enough for a mobile data plan."""
ASKING = (Check.DNS, Check.RANDOM_NAME, Check.CONTRAST)
"""Checks whose family is that of the answer: the question may travel in the other one."""


class LineChecks:
    """Runs checks over one line. Make it, and close it, inside a running event loop."""

    def __init__(
        self,
        line: Line,
        *,
        clock: Clock = SYSTEM_CLOCK,
        context: ssl.SSLContext | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        dns_port: int = 53,
        slack: Slack | None = None,
    ) -> None:
        """Make the checks of `line`.

        Args:
            context: trust for https; default the system's authorities, one context
                for the whole process.
            body_bytes_max: how much of a page is read and hashed.
            dns_port: the port of name servers (tests run where 53 is taken).
            slack: ends what may end late, when the loop is awake anyway.
        """
        self._line = line
        self._clock = clock
        self._slack = slack
        self._finder = HostFinder(line, clock=clock, dns_port=dns_port)
        self._pingers = {f: Pinger(line.device, f, clock=clock) for f in (4, 6)}
        self._fetcher = Fetcher(
            line.device,
            self._finder,
            context=shared_context() if context is None else context,
            body_bytes_max=body_bytes_max,
            clock=clock,
        )
        self._deeper = DeeperChecks(
            line, finder=self._finder, fetcher=self._fetcher, context=context, clock=clock
        )

    async def run(self, check: Check, target: Target, family: int, *, timeout_s: float) -> Outcome:
        """Run one check of `target` in `family` (4 or 6).

        Ends within `time_limit_s(check, target, timeout_s=timeout_s)`, which is
        `timeout_s` for all checks but those that try several times.

        A family in which the line has no address of its own is the failure
        `address_not_available` without a packet: the kernel might send it with
        another line's source address.

        Raises:
            ValueError: the target can't have this check (a resolver without `query`).
        """
        _demand_valid(check, target)
        if family not in self._line.families and check not in ASKING:
            return Outcome(failure=ADDRESS_NOT_AVAILABLE)
        try:
            return await self._run(check, target, family, timeout_s=timeout_s)
        except OSError as error:
            return Outcome(failure=os_failure(error))
        except Exception as error:
            # A library may raise anything at what a hostile peer sent it.
            return Outcome(failure=unknown_failure(error))

    async def close(self) -> None:
        """Close the line's sockets; checks still running end as `interrupted`."""
        for pinger in self._pingers.values():
            pinger.close()
        await asyncio.sleep(0)

    async def _run(self, check: Check, target: Target, family: int, *, timeout_s: float) -> Outcome:
        match check:
            case Check.ICMP | Check.TCP:
                return await self._run_found(check, target, family, timeout_s=timeout_s)
            case Check.DNS:
                name = target.query or target.host
                return await self._run_dns(target, name, family, timeout_s=timeout_s)
            case Check.RANDOM_NAME:
                name = random_name(target.query or target.host)
                return judged(await self._run_dns(target, name, family, timeout_s=timeout_s))
            case Check.HTTP:
                return await self._run_http(target, family, timeout_s=timeout_s)
            case Check.MODEM:
                raise AssertionError("a modem is no target")  # _demand_valid says so
            case _:
                return await self._deeper.run(check, target, family, timeout_s=timeout_s)

    async def _run_found(
        self, check: Check, target: Target, family: int, *, timeout_s: float
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        found = await self._find(target.host, family, timeout_s=timeout_s)
        if found.address is None:
            return _not_found(found)
        left_s = max(0.0, deadline - loop.time())
        if check is Check.ICMP:
            outcome = await self._pingers[family].ping(found.address, timeout_s=left_s)
        else:
            outcome = await check_tcp(
                self._line.device,
                found.address,
                family,
                port=target.port,
                timeout_s=left_s,
                clock=self._clock,
            )
        return _with_lookup(outcome, found, private=_is_private(target, found))

    async def _run_dns(
        self, target: Target, name: str, family: int, *, timeout_s: float
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        asked_itself = target.role is Role.RESOLVER
        found = await self._find_server(target, family, timeout_s=timeout_s)
        if found.address is None:
            return _not_found(found)
        if ip_version(found.address) not in self._line.families:
            return Outcome(failure=ADDRESS_NOT_AVAILABLE)
        outcome = await check_dns(
            self._finder.server(found.address),
            name,
            family,
            recorded_address=found.address,
            is_own=self._finder.is_own,
            timeout_s=max(0.0, deadline - loop.time()),
            clock=self._clock,
            slack=self._slack,
        )
        return _with_lookup(outcome, found, private=not asked_itself or _is_private(target, found))

    async def _find_server(self, target: Target, family: int, *, timeout_s: float) -> Found:
        """Return the server to ask; its own family is free, since `family` is the answer's."""
        if target.role is not Role.RESOLVER or target.host == RESOLVER_HOST:
            address = self._finder.resolver()
            if address is None:
                return Found(failure=NO_RESOLVER)
            return Found(address=address, private=True)
        if is_literal(target.host):
            return Found(address=target.host)
        return await self._find(target.host, family, timeout_s=timeout_s)

    async def _run_http(self, target: Target, family: int, *, timeout_s: float) -> Outcome:
        """Fetch the URL from where its name leads, or from `host` where that is an address.

        The second lets a target ask one address for several names (sni_blocked).
        """
        url, host = page_of(target)
        return await self._fetcher.fetch(url, family, host=host, timeout_s=timeout_s)

    async def _find(self, host: str, family: int, *, timeout_s: float) -> Found:
        return await self._finder.find(
            host, family, timeout_s=timeout_s * LOOKUP_SHARE, afresh=False
        )


def _demand_valid(check: Check, target: Target) -> None:
    """Raise ValueError for a target that config should not have let through."""
    cannot = f"cannot run the {check} check of target {target.id}"
    if check is Check.MODEM:
        raise ValueError(f"{cannot}: a modem is no target")
    if check in (Check.DNS, Check.RANDOM_NAME):
        if target.query is None and target.role is Role.RESOLVER:
            raise ValueError(f"{cannot}: a resolver needs `query`, the name to ask it for")
        if target.query is None and (target.host.startswith("@") or is_literal(target.host)):
            raise ValueError(f"{cannot}: `host` is no name; set `query`, the name to ask for")
    if check is Check.HTTP and target.url is None and target.host.startswith("@"):
        raise ValueError(f"{cannot}: `host` is no name; set `url`")
    demand_valid_deeper(check, target, cannot)


def _is_private(target: Target, found: Found) -> bool:
    return found.private or target.role is Role.GATEWAY


def _not_found(found: Found) -> Outcome:
    return Outcome(failure=found.failure, bytes_out=found.bytes_out, bytes_in=found.bytes_in)


def _with_lookup(outcome: Outcome, found: Found, *, private: bool) -> Outcome:
    """Return the outcome with the lookup's bytes, and without an address that is private."""
    if not (private or found.bytes_out or found.bytes_in):
        return outcome
    return replace(
        outcome,
        address=None if private else outcome.address,
        bytes_out=outcome.bytes_out + found.bytes_out,
        bytes_in=outcome.bytes_in + found.bytes_in,
    )
