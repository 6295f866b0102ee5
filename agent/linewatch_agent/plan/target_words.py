"""The words of the rules for targets: hosts, URLs and faults.

Pure, and shared by target_rules.py and deeper_rules.py. Source: docs/targets.md.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from linewatch_agent.plan.toml_types import Path
from linewatch_core.targets import GATEWAY_HOST, RESOLVER_HOST

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path: the reason says what is expected and what was found."""

    path: Path
    reason: str


def fault_of(key: str, wanted: str, found: object) -> Fault:
    """Return the fault of one key of a target."""
    return Fault((key,), f"expected {wanted}, found {ascii(found)[:60]}")


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


def is_local(host: str) -> bool:
    """Return whether `host` stands for the line's own gateway or resolver."""
    return host in (GATEWAY_HOST, RESOLVER_HOST)


def url_host(url: str) -> str | None:
    """Return the host of a URL that the http check can fetch, else None."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.username is None and port != 0
    return plain(parts.hostname) if usable and parts.hostname else None


def plain(host: str) -> str:
    """Return a host in its one spelling."""
    return str(ip_address(host)) if address_version(host) else host.lower()
