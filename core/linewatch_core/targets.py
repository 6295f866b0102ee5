"""Targets as data: what is measured, in which role, by which checks.

A target set is a TOML file of `[[target]]` tables; docs/targets.md tells how
to write one. This module only says what a target is.
"""

from typing import Annotated, TypeAlias

import msgspec

from linewatch_core.records import Check, Role

GATEWAY_HOST = "@gateway"
RESOLVER_HOST = "@resolver"
"""Hosts that stand for the line's own next hop and the line's own name server."""

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Resolver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A resolver of another operator, that a line's own answer is held against.

    Attributes:
        address: where it is asked, over UDP, TLS and HTTPS.
        name: whom its certificate must name; default: the address itself.
        path: of DNS over HTTPS.
        port, tls_port, https_port: where its three services listen.
    """

    address: str
    name: str | None = None
    path: str = "/dns-query"
    port: Port = 53
    tls_port: Port = 853
    https_port: Port = 443


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The known answer of a portal check: its status, and its whole body without outer space."""

    status: Annotated[int, msgspec.Meta(ge=200, le=299)] = 204
    body: str = ""


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
        neutral: the name that the sni and host checks hold against the sensitive one.
        pairs: how often they ask for both.
        bytes_max: how much of a body one fetch of the throughput, sni and host checks
            reads; default: 65,536 and 4,096.
        neighbour: the address of the neighbour check; default: those next to the target's.
        resolver: whom the contrast check asks besides the line's own.
        expected: the known answer of the portal check.
        every: measured in every n-th round only: those whose number n divides, so that
            targets of one `every` are measured together and can be compared.
        category: of what kind its content is, as its source says (a Citizen Lab code).
    """

    id: str
    role: Role
    host: str
    checks: tuple[Check, ...]
    port: Port = 443
    url: str | None = None
    query: str | None = None
    families: tuple[int, ...] = (4, 6)
    neutral: str | None = None
    pairs: Annotated[int, msgspec.Meta(ge=3, le=10)] = 3
    bytes_max: Annotated[int, msgspec.Meta(ge=1024, le=16 * 1024 * 1024)] | None = None
    neighbour: str | None = None
    resolver: Resolver | None = None
    expected: Expected = Expected()
    every: Annotated[int, msgspec.Meta(ge=1, le=2880)] = 1
    category: str | None = None


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
