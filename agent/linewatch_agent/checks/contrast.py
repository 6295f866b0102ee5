"""The contrast check: one question over four ways at once, the line's own answer beside others.

A censor's resolver, or a forger on the way, can lie on the first two ways but
not on the encrypted ones: there it can only be in the way, which is a failure
of its own. Own addresses of the host's network are written as `@gateway`.
Source: docs/verdicts.md, `dns_tampered`.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.dns_encrypted import ask_https, ask_tls
from linewatch_agent.checks.dns_exchange import Heard, Server, ask
from linewatch_agent.checks.failures import (
    ADDRESS_NOT_AVAILABLE,
    NO_RESOLVER,
    os_failure,
    unknown_failure,
)
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.outcome import Outcome
from linewatch_core.details import Answer, ContrastDetail
from linewatch_core.records import quantise_us
from linewatch_core.targets import GATEWAY_HOST, Resolver


async def check_contrast(
    own: Server | None,
    resolver: Resolver | None,
    name: str,
    family: int,
    *,
    device: str,
    fetcher: Fetcher,
    context: ssl.SSLContext,
    is_own: Callable[[str], bool],
    timeout_s: float,
    clock: Clock,
) -> Outcome:
    """Ask for `name` in `family` over all ways at once, each under `timeout_s`.

    Args:
        own: the line's own resolver; None: it has none.
        resolver: the other one; None: the line has no address of its family.
    """
    plain = None if resolver is None else Server(device, resolver.address, resolver.port)
    limits: dict[str, Any] = {"timeout_s": timeout_s, "clock": clock}
    async with asyncio.TaskGroup() as tasks:

        def start(asking: Coroutine[Any, Any, Heard]) -> asyncio.Task[Heard]:
            return tasks.create_task(_heard(asking))

        started = [
            start(_ask(own, NO_RESOLVER, name, family, limits)),
            start(_ask(plain, ADDRESS_NOT_AVAILABLE, name, family, limits)),
        ]
        if resolver is not None:
            started += [
                start(ask_tls(resolver, name, family, device=device, context=context, **limits)),
                start(ask_https(resolver, name, family, fetcher=fetcher, **limits)),
            ]
    heard = [task.result() for task in started]
    heard += [Heard(ADDRESS_NOT_AVAILABLE)] * (4 - len(heard))
    answers = [_answer(each, is_own) for each in heard]
    return Outcome(
        failure=answers[0].failure,
        rtt_us=answers[0].time_us,
        family=family,
        detail=ContrastDetail(*answers),
        bytes_out=sum(each.bytes_out for each in heard),
        bytes_in=sum(each.bytes_in for each in heard),
    )


async def _ask(
    server: Server | None, missing: str, name: str, family: int, limits: dict[str, Any]
) -> Heard:
    if server is None:
        return Heard(missing)
    return await ask(server, name, family, listen_on_s=0.0, **limits)


async def _heard(asking: Coroutine[Any, Any, Heard]) -> Heard:
    """Return what was heard; a way that breaks is a failure of that way only."""
    try:
        return await asking
    except OSError as error:
        return Heard(os_failure(error))
    except Exception as error:
        return Heard(unknown_failure(error))


def _answer(heard: Heard, is_own: Callable[[str], bool]) -> Answer:
    addresses = () if heard.first is None else heard.first.addresses
    return Answer(
        heard.failure,
        tuple(sorted(GATEWAY_HOST if is_own(each) else each for each in addresses)),
        None if heard.first_us is None else quantise_us(heard.first_us),
    )
