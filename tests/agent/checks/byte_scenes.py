"""What test_bytes.py runs in a namespace of its own: each check, and what the kernel counted.

Servers and checks share the namespace's `lo`, so its counter is the sum of both ways.
"""

import asyncio
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode

from linewatch_agent.checks import LineChecks
from linewatch_agent.checks.tls import line_context
from linewatch_core.records import Check, Role
from linewatch_core.targets import Resolver, Target
from tests.agent.checks.lab import loopback
from tests.agent.checks.servers import (
    answer,
    dns_over_tcp,
    dns_server,
    http_reply,
    issue,
    stream_server,
)

NAME = "banned.example.org"


def _script(query: dns.message.Message) -> list[tuple[float, bytes]]:
    if query.question[0].name.to_text() == f"{NAME}.":
        return [(0, answer(query, "127.0.0.1"))]
    return [(0, answer(query, rcode=dns.rcode.NXDOMAIN))]


async def count_all() -> dict[str, list[int]]:
    """Return per check the bytes that its outcome states and those that `lo` carried."""
    with tempfile.TemporaryDirectory() as folder:
        authority = issue("Test Authority")
        server = issue(NAME, issuer=authority, address="127.0.0.1").server_context(
            Path(folder), authority
        )
    client = line_context(ssl.create_default_context(cadata=authority.der))
    async with AsyncExitStack() as stack:

        async def serve(handler: Any, context: ssl.SSLContext | None = None) -> int:
            return await stack.enter_async_context(stream_server(handler, context=context))

        page = http_reply(bytes(65_536))
        plain, tls = await serve(page), await serve(page, server)
        dot = await serve(dns_over_tcp("192.0.2.1"), server)
        port, _ = await stack.enter_async_context(dns_server(_script))
        checks = LineChecks(loopback(), context=client, dns_port=port)
        stack.push_async_callback(checks.close)
        resolver = Resolver(address="127.0.0.1", port=port, tls_port=dot, https_port=tls)
        url = f"http://{NAME}:{plain}/"

        def made(check: Check, **changes: Any) -> tuple[Check, Target]:
            values = {"url": url, "neutral": "plain.example.com", **changes}
            return check, Target(id="t", role=Role.SENSITIVE, host=NAME, checks=(check,), **values)

        found = {}
        for check, target in (
            made(Check.THROUGHPUT),
            made(Check.PORTAL),
            made(Check.HOST),
            made(Check.SNI, url=f"https://{NAME}:{tls}/"),
            made(Check.NEIGHBOUR, port=9),
            made(Check.CONTRAST, resolver=resolver),
            made(Check.RANDOM_NAME),
            made(Check.TRACE),
        ):
            found[check.value] = await _both(partial(checks.run, check, target, 4, timeout_s=5.0))
    return found


async def _both(run: Callable[[], Awaitable[Any]]) -> list[int]:
    """Return what a check states and what was carried, of a run in which nothing was sent twice.

    On a loaded machine the kernel sends again what was only late; the receiver can't count it.
    """
    while True:
        before, resent = _carried(), _resent()
        outcome = await run()
        carried = await _carried_at_rest()
        if _resent() == resent:
            return [outcome.bytes_out + outcome.bytes_in, carried - before]


async def _carried_at_rest() -> int:
    """Return the bytes carried, once what closing sends is through."""
    carried = -1
    while carried != _carried():
        carried = _carried()
        await asyncio.sleep(0.05)
    return carried


def _carried() -> int:
    """Return the bytes that `lo` carried so far; it counts IP packets, with no link header."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[0])
    sys.exit("cannot count: no `lo` in /proc/net/dev")


def _resent() -> int:
    """Return how many TCP segments this namespace sent again so far."""
    names, values = (
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("RetransSegs")])
