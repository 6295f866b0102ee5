"""The random_name check: a name that can't exist, which must not have an address.

A network that answers for every name (a portal, or a resolver that sells its
errors) answers for this one. The name is made anew each time, so no cache knows
it, and it is not recorded. Source: RFC 8020; RFC 6761 for `invalid`.
"""

import secrets
import string
from dataclasses import replace

from linewatch_agent.checks.failures import DNS_INVENTED_ANSWER
from linewatch_agent.checks.outcome import Outcome
from linewatch_core.details import DnsDetail

LABEL_LENGTH = 18
"""26^18 names: none of them is anyone's."""


def random_name(suffix: str) -> str:
    """Return a name under `suffix` that nobody has; letters only, as hosts are named."""
    label = "".join(secrets.choice(string.ascii_lowercase) for _ in range(LABEL_LENGTH))
    return f"{label}.{suffix}"


def judged(outcome: Outcome) -> Outcome:
    """Return a dns outcome as this check's: NXDOMAIN is right, an address is invented."""
    if not isinstance(outcome.detail, DnsDetail):
        return outcome
    if outcome.detail.rcode == "NXDOMAIN":
        return replace(outcome, failure=None)
    if outcome.failure is None:
        return replace(outcome, failure=DNS_INVENTED_ANSWER)
    return outcome
