"""Which targets make sense, and how a target set is read.

Pure. A target that passes these rules can be checked without further questions:
the checks rely on it. Source: docs/targets.md.
"""

from collections.abc import Iterator, Sequence

from linewatch_agent.plan.deeper_rules import ASKING, FETCHING, deeper_faults
from linewatch_agent.plan.target_words import (
    Fault,
    address_version,
    fault_of,
    is_host_name,
    is_local,
    plain,
    url_host,
)
from linewatch_agent.plan.toml_errors import decode_toml
from linewatch_core.ids import is_name
from linewatch_core.modem_words import MODEM_TARGET
from linewatch_core.records import Check, Role
from linewatch_core.targets import GATEWAY_HOST, RESOLVER_HOST, Target, TargetSet

CATEGORY_CHARS_MAX = 48
CHECKS = [check for check in Check if check is not Check.MODEM]
"""Those that a target can have; a line's modem is asked by itself."""


def parse_target_set(text: str | bytes, *, name: str) -> TargetSet:
    """Return the target set that a TOML text says.

    Raises:
        ConfigError: one line: file, line, key, what is expected, what was found.
    """
    found, source = decode_toml(text, TargetSet, name=name)
    ids: set[str] = set()
    for position, target in enumerate(found.target):
        for fault in target_faults(target):
            raise source.error(("target", position, *fault.path), fault.reason)
        if target.id in ids:
            reason = f"expected each id once, found {target.id} again"
            raise source.error(("target", position, "id"), reason)
        ids.add(target.id)
    return found


def target_faults(target: Target) -> Iterator[Fault]:
    """Yield what is wrong with a target; paths begin at the target itself."""
    yield from _host_faults(target)
    yield from _check_faults(target)
    yield from _dns_faults(target)
    yield from _http_faults(target)
    yield from deeper_faults(target)


def _host_faults(target: Target) -> Iterator[Fault]:
    if not is_name(target.id):
        yield fault_of("id", "1 to 48 of a-z 0-9 . _ -", target.id)
    elif target.id == MODEM_TARGET:
        yield fault_of("id", "another id, since this one is the line's own modem's", target.id)
    version = address_version(target.host)
    if not (version or is_local(target.host) or is_host_name(target.host)):
        yield fault_of("host", "a host name, an address, @gateway or @resolver", target.host)
    if (target.role is Role.GATEWAY) != (target.host == GATEWAY_HOST):
        yield fault_of("role", "gateway with host @gateway, and only with it", target.role.value)
    if not target.families or set(target.families) - {4, 6} or _repeats(target.families):
        yield fault_of("families", "4, 6 or both, once each", list(target.families))
    elif version and version not in target.families:
        yield fault_of("families", f"{version}, the family of host", list(target.families))
    if target.category is not None and not 0 < len(target.category) <= CATEGORY_CHARS_MAX:
        yield fault_of("category", f"1 to {CATEGORY_CHARS_MAX} characters", target.category)


def _check_faults(target: Target) -> Iterator[Fault]:
    if not target.checks or _repeats(target.checks) or Check.MODEM in target.checks:
        wanted = f"one or more of {', '.join(CHECKS)}, once each"
        yield fault_of("checks", wanted, [check.value for check in target.checks])


def _dns_faults(target: Target) -> Iterator[Fault]:
    if target.query is not None and not is_host_name(target.query):
        yield fault_of("query", "a host name", target.query)
    is_resolver = target.role is Role.RESOLVER
    if is_resolver and not (address_version(target.host) or target.host == RESOLVER_HOST):
        yield fault_of("host", "an address or @resolver for role resolver", target.host)
    if target.query is None and (is_resolver or not is_host_name(target.host)):
        for check in target.checks:
            if check in ASKING:
                wanted = f'expected a host name to ask for in the check "{check}"'
                yield Fault((), f"query is missing: {wanted}")


def _http_faults(target: Target) -> Iterator[Fault]:
    if Check.HTTP in target.checks and is_local(target.host):
        yield fault_of("checks", f"no http with host {target.host}", "http")
    if not FETCHING & set(target.checks):
        return
    if target.url is not None and url_host(target.url) != plain(target.host):
        yield fault_of("url", f"http:// or https:// and the host {target.host}", target.url)


def _repeats(values: Sequence[object]) -> bool:
    return len(set(values)) != len(values)
