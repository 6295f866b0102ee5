"""THE rules: every verdict, by which rule and version, in order of precedence.

The first rule of a table that holds says the verdict of a round. What a rule
demands is its condition, in line_conditions.py and target_conditions.py with
the thresholds. Transitions name rule and version, and must be decidable again:
whoever changes a condition raises the version here. Source: docs/verdicts.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from linewatch_core.verdict import line_conditions as line
from linewatch_core.verdict import target_conditions as target
from linewatch_core.verdict.line_conditions import View
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from linewatch_core.verdict.target_evidence import TargetEvidence


@dataclass(frozen=True, slots=True)
class LineRule:
    """One rule of a line: `holds` says whether a round shows `verdict`."""

    id: str
    version: int
    verdict: LineVerdict
    holds: Callable[[View], bool]


@dataclass(frozen=True, slots=True)
class TargetRule:
    """One rule of a target on a line, likewise."""

    id: str
    version: int
    verdict: TargetVerdict
    holds: Callable[[TargetEvidence], bool]


LINE_RULES: tuple[LineRule, ...] = (
    LineRule("local.modem", 1, LineVerdict.MODEM, line.modem_gone),
    LineRule("radio_loss", 1, LineVerdict.RADIO_LOSS, line.searching),
    LineRule("local.link", 1, LineVerdict.LINK, line.no_link),
    LineRule("local.link.gateway", 2, LineVerdict.LINK, line.gateway_silent),
    LineRule("unknown.gateway", 1, LineVerdict.UNKNOWN, line.gateway_mute),
    LineRule("portal", 1, LineVerdict.PORTAL, line.portal_page),
    LineRule("dark", 2, LineVerdict.DARK, line.all_dark),
    LineRule("data_cut", 1, LineVerdict.DATA_CUT, line.data_cut),
    LineRule("line_dead", 1, LineVerdict.LINE_DEAD, line.dead_here_only),
    LineRule("line_dead.alone", 1, LineVerdict.LINE_DEAD, line.dead_alone),
    LineRule("intl_cut", 1, LineVerdict.INTL_CUT, line.intl_cut),
    LineRule("allow_list", 1, LineVerdict.ALLOW_LIST, line.allow_list),
    LineRule("throttled", 1, LineVerdict.THROTTLED, line.throttled),
    LineRule("ok", 1, LineVerdict.OK, line.all_fine),
    LineRule("ok.no_domestic", 1, LineVerdict.OK, line.fine_abroad),
    LineRule("unknown", 1, LineVerdict.UNKNOWN, line.nothing_known),
)
"""`portal` precedes all that blocking can look like; `unknown` is last, and never `ok`."""

TARGET_RULES: tuple[TargetRule, ...] = (
    TargetRule("unknown.line", 1, TargetVerdict.UNKNOWN, target.not_judgeable),
    TargetRule("dns_tampered.two_replies", 1, TargetVerdict.DNS_TAMPERED, target.two_replies),
    TargetRule("dns_tampered.bogus", 2, TargetVerdict.DNS_TAMPERED, target.bogus_answer),
    TargetRule("dns_tampered.foreign", 1, TargetVerdict.DNS_TAMPERED, target.foreign_answer),
    TargetRule("dns_tampered.denied", 1, TargetVerdict.DNS_TAMPERED, target.name_denied),
    TargetRule("tls_intercepted", 2, TargetVerdict.TLS_INTERCEPTED, target.intercepted),
    TargetRule("sni_blocked", 1, TargetVerdict.SNI_BLOCKED, target.name_cut),
    TargetRule("http_blocked", 1, TargetVerdict.HTTP_BLOCKED, target.host_cut),
    TargetRule("ip_blocked", 1, TargetVerdict.IP_BLOCKED, target.address_blocked),
    TargetRule("throttled.target", 1, TargetVerdict.THROTTLED, target.slowed),
    TargetRule("target_down", 1, TargetVerdict.TARGET_DOWN, target.down),
    TargetRule("dns_suspect", 2, TargetVerdict.DNS_SUSPECT, target.other_answer),
    TargetRule("ok", 1, TargetVerdict.OK, target.reached),
    TargetRule("unknown", 1, TargetVerdict.UNKNOWN, target.nothing_known),
)
"""A false address comes first: what fails after it is its consequence."""

POWER_RULE = ("local.power", 1)
"""A new boot after a hole that records call a reboot: nothing is claimed of the network."""
HOLE_RULE = ("hole", 1)
"""No round for longer than settings allow, or a new boot with no such record: `unknown`."""
UNSETTLED_RULE = ("unsettled", 1)
"""The verdict was contradicted for twice its rounds, and no other one held: `unknown`."""


def judge_line(view: View) -> LineRule:
    """Return the first rule that holds."""
    return next(rule for rule in LINE_RULES if rule.holds(view))


def judge_target(seen: TargetEvidence) -> TargetRule:
    """Return the first rule that holds."""
    return next(rule for rule in TARGET_RULES if rule.holds(seen))
