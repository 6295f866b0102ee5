"""Which targets make sense, and how a target set is read.

Pure. A target that passes these rules can be checked without further questions:
the checks rely on it. Source: docs/targets.md.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from linewatch_agent.plan.toml_errors import decode_toml
from linewatch_agent.plan.toml_types import Path
from linewatch_core.ids import is_name
from linewatch_core.records import Check, Role
from linewatch_core.targets import GATEWAY_HOST, RESOLVER_HOST, Target, TargetSet

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path: the reason says what is expected and what was found."""

    path: Path
    reason: str


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


def _host_faults(target: Target) -> Iterator[Fault]:
    if not is_name(target.id):
        yield _fault("id", "1 to 48 of a-z 0-9 . _ -", target.id)
    version = address_version(target.host)
    if not (version or _is_local(target.host) or is_host_name(target.host)):
        yield _fault("host", "a host name, an address, @gateway or @resolver", target.host)
    if (target.role is Role.GATEWAY) != (target.host == GATEWAY_HOST):
        yield _fault("role", "gateway with host @gateway, and only with it", target.role.value)
    if not target.families or set(target.families) - {4, 6} or _repeats(target.families):
        yield _fault("families", "4, 6 or both, once each", list(target.families))
    elif version and version not in target.families:
        yield _fault("families", f"{version}, the family of host", list(target.families))


def _check_faults(target: Target) -> Iterator[Fault]:
    if not target.checks or _repeats(target.checks):
        wanted = f"one or more of {', '.join(Check)}, once each"
        yield _fault("checks", wanted, [check.value for check in target.checks])
    if target.url is not None and Check.HTTP not in target.checks:
        yield Fault(("url",), 'expected only with the check "http", which is not in checks')
    if target.query is not None and Check.DNS not in target.checks:
        yield Fault(("query",), 'expected only with the check "dns", which is not in checks')


def _dns_faults(target: Target) -> Iterator[Fault]:
    if target.query is not None and not is_host_name(target.query):
        yield _fault("query", "a host name", target.query)
    is_resolver = target.role is Role.RESOLVER
    if is_resolver and not (address_version(target.host) or target.host == RESOLVER_HOST):
        yield _fault("host", "an address or @resolver for role resolver", target.host)
    asks = Check.DNS in target.checks and target.query is None
    if asks and (is_resolver or not is_host_name(target.host)):
        yield Fault((), 'query is missing: expected a host name to ask for in the check "dns"')


def _http_faults(target: Target) -> Iterator[Fault]:
    if Check.HTTP not in target.checks:
        return
    if _is_local(target.host):
        yield _fault("checks", f"no http with host {target.host}", "http")
    if target.url is not None and _url_host(target.url) != _plain(target.host):
        yield _fault("url", f"http:// or https:// and the host {target.host}", target.url)


def address_version(host: str) -> int | None:
    """Return 4 or 6 if `host` is an address (without a scope), else None."""
    try:
        return None if "%" in host else ip_address(host).version
    except ValueError:
        return None


def is_host_name(text: str) -> bool:
    """Return whether `text` is a host name: labels of a-z 0-9 - _, not all digits, no last dot."""
    labels = text.split(".")
    return (
        len(text) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def _is_local(host: str) -> bool:
    return host in (GATEWAY_HOST, RESOLVER_HOST)


def _url_host(url: str) -> str | None:
    """Return the host of a URL that the http check can fetch, else None."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.username is None and port != 0
    return _plain(parts.hostname) if usable and parts.hostname else None


def _plain(host: str) -> str:
    return str(ip_address(host)) if address_version(host) else host.lower()


def _repeats(values: Sequence[object]) -> bool:
    return len(set(values)) != len(values)


def _fault(key: str, wanted: str, found: object) -> Fault:
    return Fault((key,), f"expected {wanted}, found {ascii(found)[:60]}")
