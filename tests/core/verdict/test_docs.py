"""docs/verdicts.md is normative: its tables are the code's, rule by rule and in order."""

import re
from pathlib import Path

from linewatch_core.judging import VerdictSettings
from linewatch_core.verdict import line_conditions as line
from linewatch_core.verdict import target_conditions as target
from linewatch_core.verdict.rules import (
    HOLE_RULE,
    LINE_RULES,
    POWER_RULE,
    TARGET_RULES,
    UNSETTLED_RULE,
)

PAGE = (Path(__file__).parents[3] / "docs" / "verdicts.md").read_text()
_ROW = re.compile(r"^\| `([^`]+)` \| (\d+) \| `([^`]+)` \|", re.MULTILINE)


def test_every_rule_stands_in_the_page_in_its_order() -> None:
    """Ids, versions and verdicts of all rules, in order of precedence."""
    rules = [(rule.id, rule.version, rule.verdict.value) for rule in LINE_RULES]
    rules += [(*POWER_RULE, "local.power"), (*HOLE_RULE, "unknown"), (*UNSETTLED_RULE, "unknown")]
    rules += [(rule.id, rule.version, rule.verdict.value) for rule in TARGET_RULES]
    rows = [(name, int(version), verdict) for name, version, verdict in _ROW.findall(PAGE)]
    assert rows == rules


def test_the_pages_figures_are_the_codes() -> None:
    """Thresholds in words are those in force."""
    text = " ".join(PAGE.split())
    settings = VerdictSettings()
    figures = [
        f"at least {line.HOSTS_MIN} of its hosts",
        f"asked by at least {line.INTL_PROTOCOLS_MIN} protocols",
        f"together at least {line.OPERATORS_MIN} operators",
        f"at least {line.PORTAL_CHECKS_MIN} portal checks",
        f"within {line.SIGNAL_DROP_DB_MAX:.0f} dB",
        f"goodput to at least {line.GOODPUT_ANCHORS_MIN} networks",
        f"below {line.GOODPUT_RATIO_MAX * 100:.0f} % of its normal",
        f"in turn, at least {target.ALTERNATIONS_MIN} times",
        f"at least {target.SLOW_PAIRS_MIN} pairs",
        f"at least {target.SLOW_RATIO_MIN:.0f} times the neutral one's",
        f"older than {target.TRUTH_AGE_MS_MAX // 86_400_000} days",
        f"within {target.CLOCK_ERROR_MS_MAX // 60_000} minutes",
        f"**Raised after {settings.hold.raise_rounds}**",
        f"**taken back after {settings.hold.clear_rounds}**",
        f"counts for {settings.carry_ms // 60_000} minutes",
        f"not measured for {settings.stale_ms // 3_600_000} hours",
        f"for {settings.hole_ms // 1000} s or {settings.hole_periods} periods",
        f"one value in {settings.baseline_spacing_ms // 60_000} minutes",
        f"({settings.baseline_span_ms // 86_400_000} days)",
    ]
    assert [figure for figure in figures if figure not in text] == []
