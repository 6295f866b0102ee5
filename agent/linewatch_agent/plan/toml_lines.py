"""Find the line of a TOML text on which a key is set, by parsing prefixes of it.

tomllib keeps no positions, and a search for the key's text would guess. Knows
nothing of types or of what the keys mean. Invariant: a line named is exact.
"""

import tomllib
from collections.abc import Sequence
from typing import Any

from linewatch_agent.plan.toml_types import Path

_MULTI_LINE_MAX = 400
"""How many lines one value may span and still have its line named."""

ABSENT = object()
"""Stands for a value that a document does not have."""


def line_of(text: str, path: Path) -> int | None:
    """Return the line (from 1) on which the statement that sets `path` begins.

    A prefix of whole lines that parses is a run of whole statements, and a key
    once set stays set; so the first parseable prefix that holds the path ends with
    its statement, and the last one that doesn't ends just before it.

    Returns:
        The line; None for the whole document, or where the text holds no such key.
    """
    if not path:
        return None
    lines = text.split("\n")
    low, high = 0, len(lines)
    # Invariant: the prefix of `low` lines parses without the path; that of `high` holds it.
    if not _holds(_prefix(lines, high), path):
        return None
    while True:
        middle = _parseable_at_most(lines, (low + high) // 2, low)
        if middle is None:
            return None
        if middle == low:
            above = _parseable_at_least(lines, (low + high) // 2 + 1, high)
            if above is None:
                return None
            if above == high:
                return low + 1
            middle = above
        if _holds(_prefix(lines, middle), path):
            high = middle
        else:
            low = middle


def _prefix(lines: Sequence[str], count: int) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines[:count]) + "\n")
    except (ValueError, RecursionError):
        return None


def _parseable_at_most(lines: Sequence[str], start: int, floor: int) -> int | None:
    for count in range(start, max(floor, start - _MULTI_LINE_MAX), -1):
        if _prefix(lines, count) is not None:
            return count
    return floor if start - floor <= _MULTI_LINE_MAX else None


def _parseable_at_least(lines: Sequence[str], start: int, ceiling: int) -> int | None:
    for count in range(start, min(ceiling, start + _MULTI_LINE_MAX)):
        if _prefix(lines, count) is not None:
            return count
    return ceiling if ceiling - start <= _MULTI_LINE_MAX else None


def look_up(document: Any, path: Path) -> Any:
    """Return the value at `path` of a parsed document, or ABSENT."""
    value = document
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return ABSENT
            value = value[step]
        else:
            if not isinstance(value, dict) or step not in value:
                return ABSENT
            value = value[step]
    return value


def _holds(document: dict[str, Any] | None, path: Path) -> bool:
    return document is not None and look_up(document, path) is not ABSENT
