"""Say what each line does: the text and the JSON of `linewatch-agent lines`.

Pure. It names devices and gateways, so it is for this machine's people only and
is never sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from linewatch_agent.plan.line import Line, Problem

_HEAD = ("line", "kind", "device", "operator", "IPv4", "IPv6", "state")


def explain(
    lines: Sequence[Line],
    machine_problems: Sequence[Problem],
    modems: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return a table of the lines, then each problem with the command that mends it.

    Args:
        modems: line id to what its modem says; `words` of it are shown.
    """
    paragraphs = ["\n".join(_table(lines))] if lines else []
    paragraphs += [f"{line}, modem: {said['words']}" for line, said in (modems or {}).items()]
    paragraphs += [_paragraph(line.id, problem) for line in lines for problem in line.problems]
    paragraphs += [_paragraph("this machine", problem) for problem in machine_problems]
    return "\n\n".join(paragraphs) + "\n"


def explain_json(
    lines: Sequence[Line],
    machine_problems: Sequence[Problem],
    modems: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """Return the same as JSON: {"lines": [...], "problems": [...]}, fields as in plan/line.py."""
    said = modems or {}
    described = [
        {
            **msgspec.to_builtins(line, str_keys=True),
            "usable": line.usable,
            "modem": said.get(line.id),
        }
        for line in lines
    ]
    return msgspec.json.encode({"lines": described, "problems": machine_problems})


def _table(lines: Sequence[Line]) -> Iterator[str]:
    rows = [_HEAD, *(_row(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(line: Line) -> tuple[str, ...]:
    families = ("yes" if family in line.families else "no" for family in (4, 6))
    if not line.usable:
        state = "not usable"
    else:
        state = "usable, with a problem" if line.problems else "usable"
    operator = line.operator or "-"
    return (line.id, line.kind.value, line.device, operator, *families, state)


def _paragraph(subject: str, problem: Problem) -> str:
    text = f"{subject}: {problem.text}"
    return text if problem.remedy is None else f"{text}\n    {problem.remedy}"
