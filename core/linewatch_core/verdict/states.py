"""The verdicts: what may be said of a line, and of one target on a line.

Names are stored in records and never change their meaning. Nothing here is
called a shutdown: a probe states what a line did. Source: docs/verdicts.md.
"""

from enum import StrEnum


class LineVerdict(StrEnum):
    """The state of a line after a round."""

    OK = "ok"
    POWER = "local.power"
    LINK = "local.link"
    MODEM = "local.modem"
    RADIO_LOSS = "radio_loss"
    DATA_CUT = "data_cut"
    LINE_DEAD = "line_dead"
    INTL_CUT = "intl_cut"
    ALLOW_LIST = "allow_list"
    DARK = "dark"
    THROTTLED = "throttled"
    PORTAL = "portal"
    UNKNOWN = "unknown"


class TargetVerdict(StrEnum):
    """The state of one target on one line; it sits beside the line's own."""

    OK = "ok"
    THROTTLED = "throttled.target"
    DNS_TAMPERED = "dns_tampered"
    DNS_SUSPECT = "dns_suspect"
    SNI_BLOCKED = "sni_blocked"
    HTTP_BLOCKED = "http_blocked"
    IP_BLOCKED = "ip_blocked"
    TLS_INTERCEPTED = "tls_intercepted"
    TARGET_DOWN = "target_down"
    UNKNOWN = "unknown"


REACH: dict[str, int] = {
    LineVerdict.LINK: 0,
    LineVerdict.MODEM: 0,
    LineVerdict.RADIO_LOSS: 0,
    LineVerdict.DATA_CUT: 0,
    LineVerdict.LINE_DEAD: 0,
    LineVerdict.DARK: 0,
    LineVerdict.INTL_CUT: 1,
    LineVerdict.ALLOW_LIST: 2,
    LineVerdict.THROTTLED: 3,
    LineVerdict.OK: 3,
}
"""How much of the world answers in a state; a change of it is dated by the hosts that turned.

States that are missing say nothing of it. `allow_list` counts as more than `intl_cut`, since
what is allowed may lie abroad.
"""
