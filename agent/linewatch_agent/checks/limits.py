"""How long a check may take: all but a few try once, within the schedule's timeout."""

from typing import assert_never

from linewatch_core.records import Check
from linewatch_core.targets import Target


def time_limit_s(check: Check, target: Target, *, timeout_s: float) -> float:
    """Return within how many seconds a check ends, if each try has `timeout_s`."""
    match check:
        case Check.SNI | Check.HOST:
            return timeout_s * (1 + 2 * target.pairs)  # a lookup, then both names in turn
        case Check.NEIGHBOUR:
            return timeout_s * 2
        case (
            Check.ICMP
            | Check.TCP
            | Check.DNS
            | Check.HTTP
            | Check.THROUGHPUT
            | Check.TRACE
            | Check.CONTRAST
            | Check.RANDOM_NAME
            | Check.PORTAL
            | Check.MODEM
        ):
            return timeout_s
        case _:
            assert_never(check)
