"""The censor's knobs by name, what each may be told, and what must be said.

Pure data. A knob is set on lines (an operator's, of a kind); what it does to
packets is in censor.py, what it does to a device is in country.py.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Knob(StrEnum):
    """What a censor or a fault of the network can do to a line."""

    LINK_DOWN = "link_down"
    BEARER_REFUSED = "bearer_refused"
    CUT = "cut"
    INTL_CUT = "intl_cut"
    ALLOW_LIST = "allow_list"
    BLACKHOLE = "blackhole"
    DNS_SPOOF = "dns_spoof"
    SNI_RESET = "sni_reset"
    SNI_DROP = "sni_drop"
    HTTP_BLOCK_PAGE = "http_block_page"
    HTTP_RESET = "http_reset"
    THROTTLE_SNI = "throttle_sni"
    THROTTLE_ALL = "throttle_all"
    UDP_ONLY = "udp_only"
    ICMP_ONLY = "icmp_only"
    PORTAL = "portal"
    TLS_INTERCEPT = "tls_intercept"
    BROKER_BLOCKED = "broker_blocked"
    TARPIT = "tarpit"
    NTP_BLOCKED = "ntp_blocked"
    NTP_LYING = "ntp_lying"
    LOSSY = "lossy"
    CDN_ROTATION = "cdn_rotation"
    SITE_DOWN = "site_down"


class Spoof(StrEnum):
    """How a name server's answer is forged.

    `injected` sends the bogon first and lets the true answer follow.
    """

    BOGON = "bogon"
    BLOCK_PAGE = "block_page"
    NXDOMAIN = "nxdomain"
    INJECTED = "injected"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a knob is told.

    Attributes:
        names: host names, each with its subdomains; `*` is every name.
        sites: ids of sites of country.toml, or addresses.
        ports: TCP ports.
        mode: how an answer is forged.
        rate_kbit: what passes in each direction, in kbit/s.
        loss: share of packets lost in each direction.
        offset_s: how far from the truth a lying clock is.
    """

    names: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = ()
    mode: Spoof | None = None
    rate_kbit: Annotated[float, Meta(gt=0)] | None = None
    loss: Annotated[float, Meta(ge=0, le=1)] | None = None
    offset_s: float | None = None


NEEDS: dict[Knob, tuple[str, ...]] = {
    Knob.ALLOW_LIST: ("sites",),
    Knob.BLACKHOLE: ("sites",),
    Knob.DNS_SPOOF: ("names", "mode"),
    Knob.SNI_RESET: ("names",),
    Knob.SNI_DROP: ("names",),
    Knob.HTTP_BLOCK_PAGE: ("names",),
    Knob.HTTP_RESET: ("names",),
    Knob.THROTTLE_SNI: ("names", "rate_kbit"),
    Knob.THROTTLE_ALL: ("rate_kbit",),
    Knob.BROKER_BLOCKED: ("sites", "ports"),
    Knob.TARPIT: ("sites",),
    Knob.NTP_LYING: ("offset_s",),
    Knob.LOSSY: ("loss",),
    Knob.CDN_ROTATION: ("names", "sites"),
    Knob.SITE_DOWN: ("sites",),
}
"""The options that a knob must have; it takes no others."""

MOBILE_ONLY = frozenset({Knob.BEARER_REFUSED})
EVERYWHERE = frozenset({Knob.SITE_DOWN})
"""Knobs that are no operator's: they take neither an operator nor a line kind."""


def option_fault(knob: Knob, options: Options) -> str | None:
    """Return what is wrong with a knob's options in words, or None."""
    wanted = NEEDS.get(knob, ())
    for name in Options.__struct_fields__:
        given = getattr(options, name) not in ((), None)
        if given and name not in wanted:
            return f"{knob} takes no option {name}"
        if name in wanted and not given:
            return f"{knob} needs the option {name}"
    return None
