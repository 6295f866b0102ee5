"""Write a target set as TOML.

Pure. There is no TOML writer in the standard library, and a set needs tables of strings,
integers and lists only. Invariant: what is written reads back as the same set.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from linewatch_core.targets import Target, TargetSet


def target_set_text(found: TargetSet) -> str:
    """Return the text of a file that `parse_target_set` reads as `found`."""
    head = [f"{key} = {_value(getattr(found, key))}" for key in ("name", "about", "source")]
    tables = ["\n".join(_table(target)) for target in found.target]
    return "\n\n".join(["\n".join(head), *tables]) + "\n"


def _table(target: Target) -> Iterator[str]:
    """Yield the lines of a target: what is required, and what is not the default."""
    yield "[[target]]"
    for field in msgspec.structs.fields(target):
        value = getattr(target, field.name)
        if field.default is msgspec.NODEFAULT or value != field.default:
            yield f"{field.name} = {_value(msgspec.to_builtins(value))}"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            stated = {key: inner for key, inner in value.items() if inner is not None}
            return f"{{{', '.join(f'{key} = {_value(inner)}' for key, inner in stated.items())}}}"
    raise TypeError(f"no TOML for {value!r}")


def _text(value: str) -> str:
    """Return a string in quotes; one of several lines as several lines."""
    if "\n" not in value:
        return f'"{"".join(map(_character, value))}"'
    lines = ("".join(map(_character, line)) for line in value.split("\n"))
    return '"""\n' + "\n".join(lines) + '"""'


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    return one if one.isprintable() else f"\\U{ord(one):08x}"
