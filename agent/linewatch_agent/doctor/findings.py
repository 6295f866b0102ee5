"""What the doctor finds: a level, a sentence, and what to do. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is: `note` is worth knowing, or could not be told; only `problem` is wrong."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: a word or two, such as `clock`.
        text: a sentence for people.
        remedy: what to do, or a command; None where nothing is to be done.
    """

    topic: str
    level: Level
    text: str
    remedy: str | None = None


def ok(topic: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(topic, Level.OK, text)


def note(topic: str, text: str, remedy: str | None = None) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(topic, Level.NOTE, text, remedy)


def problem(topic: str, text: str, remedy: str | None) -> Finding:
    """Return a finding that something is wrong; None only where nobody can do anything."""
    return Finding(topic, Level.PROBLEM, text, remedy)


def is_wrong(findings: Sequence[Finding]) -> bool:
    """Return whether something is wrong."""
    return any(each.level is Level.PROBLEM for each in findings)


def in_words(findings: Sequence[Finding]) -> str:
    """Return the findings as a list, problems last, where a terminal shows them."""
    order = (Level.OK, Level.NOTE, Level.PROBLEM)
    lines = [line for level in order for each in findings if each.level is level
             for line in _lines(each)]  # fmt: skip
    count = sum(each.level is Level.PROBLEM for each in findings)
    last = "Nothing is wrong." if not count else f"{count} problem{'s' * (count > 1)}, see above."
    return "\n".join([*lines, "", last])


def in_json(findings: Sequence[Finding]) -> bytes:
    """Return the same as JSON: {"wrong": bool, "findings": [...]}, fields as in Finding."""
    return msgspec.json.encode({"wrong": is_wrong(findings), "findings": list(findings)})


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level:<8} {finding.topic:<14} {finding.text}"
    if finding.remedy is not None:
        yield f"{'':<23} do: {finding.remedy}"
