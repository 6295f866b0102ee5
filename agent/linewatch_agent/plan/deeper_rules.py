"""Which targets make sense for the checks that hold one thing against another.

Pure. Each of their fields belongs to certain checks; a field without its check
would be a mistake that nobody notices. Source: docs/targets.md.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from linewatch_agent.plan.target_words import (
    Fault,
    address_version,
    fault_of,
    is_host_name,
    is_local,
    url_host,
)
from linewatch_core.records import Check
from linewatch_core.targets import Expected, Target

FETCHING = frozenset({Check.HTTP, Check.THROUGHPUT, Check.PORTAL})
"""Checks that fetch `url`, of `host` itself."""
ALTERNATING = {Check.SNI: "https", Check.HOST: "http"}
"""Checks that ask one address for two names, and by which scheme."""
ASKING = frozenset({Check.DNS, Check.RANDOM_NAME, Check.CONTRAST})
"""Checks that ask a resolver for `query`."""

_BELONGS: dict[str, frozenset[Check]] = {
    "url": FETCHING | ALTERNATING.keys(),
    "query": ASKING,
    "neutral": frozenset(ALTERNATING),
    "bytes_max": frozenset({Check.THROUGHPUT, *ALTERNATING}),
    "neighbour": frozenset({Check.NEIGHBOUR}),
    "resolver": frozenset({Check.CONTRAST}),
}
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,199}")
_NOT_LOCAL = frozenset(Check) - {Check.ICMP, Check.TCP, Check.DNS, Check.HTTP, Check.RANDOM_NAME}


def deeper_faults(target: Target) -> Iterator[Fault]:
    """Yield what is wrong with a target's fields for particular checks."""
    yield from _stray_faults(target)
    for check in target.checks:
        if check in _NOT_LOCAL and is_local(target.host):
            yield fault_of("checks", f"no {check} with host {target.host}", check.value)
        if check in ALTERNATING:
            yield from _alternation_faults(target, check)
    if target.neighbour is not None:
        version = address_version(target.neighbour)
        if version is None or address_version(target.host) not in (None, version):
            yield fault_of("neighbour", "an address of the family of host", target.neighbour)
    yield from _resolver_faults(target)


def _stray_faults(target: Target) -> Iterator[Fault]:
    for key, checks in _BELONGS.items():
        if getattr(target, key) is not None and not checks & set(target.checks):
            named = " or ".join(f'"{check}"' for check in Check if check in checks)
            yield Fault((key,), f"expected only with the check {named}, which is not in checks")
    if target.expected != Expected() and Check.PORTAL not in target.checks:
        reason = 'expected only with the check "portal", which is not in checks'
        yield Fault(("expected",), reason)


def _alternation_faults(target: Target, check: Check) -> Iterator[Fault]:
    if target.neutral is None or not is_host_name(target.neutral):
        wanted = f'a host name to hold against in the check "{check}"'
        yield fault_of("neutral", wanted, target.neutral)
    if target.url is None:
        if not is_host_name(target.host):
            yield Fault((), f'url is missing: expected the sensitive name in the check "{check}"')
        return
    named = url_host(target.url)
    fixed = address_version(target.host) is not None
    if named is None or not (is_host_name(named) if fixed else named == target.host.lower()):
        yield fault_of("url", "http:// or https:// and the sensitive name", target.url)
    elif urlsplit(target.url).scheme != ALTERNATING[check]:
        yield fault_of("url", f'{ALTERNATING[check]}:// for the check "{check}"', target.url)


def _resolver_faults(target: Target) -> Iterator[Fault]:
    resolver = target.resolver
    if resolver is None:
        if Check.CONTRAST in target.checks:
            yield Fault((), 'resolver is missing: expected whom to ask in the check "contrast"')
        return
    if address_version(resolver.address) is None:
        yield Fault(("resolver", "address"), f"expected an address, found {resolver.address!a:.60}")
    if resolver.name is not None and not is_host_name(resolver.name):
        yield Fault(("resolver", "name"), f"expected a host name, found {resolver.name!a:.60}")
    path = resolver.path
    if not (path.startswith("/") and path.isascii() and path.isprintable()) or set(path) & set(
        " ?#"
    ):
        yield Fault(("resolver", "path"), f"expected a path such as /dns-query, found {path!a:.60}")
