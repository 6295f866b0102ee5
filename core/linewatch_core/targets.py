"""Targets as data: what is measured, in which role, by which checks.

A target set is a TOML file of `[[target]]` tables; docs/targets.md tells how
to write one. This module only says what a target is.
"""

from typing import Annotated

import msgspec

from linewatch_core.records import Check, Role

GATEWAY_HOST = "@gateway"
RESOLVER_HOST = "@resolver"
"""Hosts that stand for the line's own next hop and the line's own name server."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing measured.

    Attributes:
        id: 1 to 48 of a-z 0-9 . _ -; appears in records and pages.
        role: what it stands for when a line is judged.
        host: a name, an address, `@gateway` or `@resolver`.
        checks: which checks to run.
        port: TCP port of the tcp check.
        url: what the http check fetches; default `https://<host>/`.
        query: the name that the dns check asks for. Where the role is `resolver`,
            the question goes to `host` itself; else to the line's resolver, and the
            default is `host`.
        families: restrict to IPv4 or IPv6; default: whatever the line has.
    """

    id: str
    role: Role
    host: str
    checks: tuple[Check, ...]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 443
    url: str | None = None
    query: str | None = None
    families: tuple[int, ...] = (4, 6)


class TargetSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of targets.

    Attributes:
        target: the targets, in order.
        name: what people call the set.
        about: what it is for, and what it costs.
        source: where its hosts come from, and what is known of them.
    """

    target: tuple[Target, ...]
    name: str = ""
    about: str = ""
    source: str = ""
