"""The dns check: what a name server says over one line, and whether it says it once.

The family asked for decides A or AAAA; the server's address decides how the
question travels. `Outcome.family` is the family asked for.
Source: docs/wire-format.md for DnsDetail.
"""

from collections.abc import Callable

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.dns_exchange import LISTEN_ON_S, Server, ask
from linewatch_agent.checks.dns_packets import Reply
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.slack import Slack
from linewatch_core.details import DnsDetail
from linewatch_core.records import quantise_us
from linewatch_core.targets import GATEWAY_HOST


async def check_dns(
    server: Server,
    name: str,
    family: int,
    *,
    recorded_address: str | None,
    is_own: Callable[[str], bool],
    timeout_s: float,
    clock: Clock,
    slack: Slack | None = None,
) -> Outcome:
    """Ask `server` for `name` and return the outcome.

    A reply with an error code is a failure with a detail. `DnsDetail.second` is
    empty (not None) where the second reply names no address. An answer for which
    `is_own` holds is written as `@gateway`.
    """
    heard = await ask(
        server,
        name,
        family,
        timeout_s=timeout_s,
        listen_on_s=LISTEN_ON_S,
        clock=clock,
        slack=slack,
    )
    detail: DnsDetail | None = None
    if heard.first is not None:
        second = heard.second
        detail = DnsDetail(
            rcode=heard.first.rcode,
            answers=_answers(heard.first, is_own),
            second=None if second is None else _answers(second, is_own),
            second_after_us=_quantised(heard.second_after_us),
        )
    return Outcome(
        failure=heard.failure,
        rtt_us=None if heard.first is None else _quantised(heard.first_us),
        family=family,
        address=recorded_address,
        detail=detail,
        bytes_out=heard.bytes_out,
        bytes_in=heard.bytes_in,
    )


def _answers(reply: Reply, is_own: Callable[[str], bool]) -> tuple[str, ...]:
    return tuple(sorted(GATEWAY_HOST if is_own(a) else a for a in reply.addresses))


def _quantised(time_us: float | None) -> int | None:
    return None if time_us is None else quantise_us(time_us)
