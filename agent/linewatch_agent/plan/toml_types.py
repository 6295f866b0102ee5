"""Say in words what a typed TOML value may be: "a number from 1 to 3600".

Reads the types that msgspec decodes into, so that an error and the check behind
it can't differ. Knows nothing of files or of what the keys mean.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

Path = tuple[str | int, ...]
"""Where a value is: table keys, and positions in lists from 0."""


def type_at(kind: type, path: Path) -> inspect.Type:
    """Return the type of the value at `path` within the struct `kind`.

    Raises:
        KeyError: the struct has no such field (a caller's bug).
    """
    found = inspect.type_info(kind)
    for step in path:
        found = _without_none(found)
        if isinstance(step, int):
            if not isinstance(found, inspect.VarTupleType):
                raise KeyError(step)
            found = found.item_type
        else:
            if not isinstance(found, inspect.StructType):
                raise KeyError(step)
            found = next(field.type for field in found.fields if field.encode_name == step)
    return _without_none(found)


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key that the type doesn't have: where it is, and which one may be meant."""

    path: Path
    hint: str


def unknown_key(document: dict[str, Any], kind: type) -> UnknownKey | None:
    """Return the first key of a document that its struct type does not have, or None.

    Done before msgspec, which would name the key only inside a message that quotes it.
    """
    return _unknown_within(document, inspect.type_info(kind), ())


def _unknown_within(value: Any, kind: inspect.Type, path: Path) -> UnknownKey | None:
    kind = _without_none(kind)
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        types = {field.encode_name: field.type for field in kind.fields}
        for key, inner in value.items():
            if key not in types:
                return UnknownKey((*path, key), _nearest(key, list(types)))
            if found := _unknown_within(inner, types[key], (*path, key)):
                return found
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list):
        for position, inner in enumerate(value):
            if found := _unknown_within(inner, kind.item_type, (*path, position)):
                return found
    return None


def _nearest(key: str, names: list[str]) -> str:
    from difflib import get_close_matches  # for the mistaken only: it takes 0.2 MB

    near = get_close_matches(key, names, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"


def describe(kind: inspect.Type) -> str:  # noqa: PLR0911 - a table
    """Return what a value of this type looks like, as a noun for people."""
    match kind:
        case inspect.FloatType():
            return f"a number{_bounds(kind)}"
        case inspect.IntType():
            return f"a whole number{_bounds(kind)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text in quotes"
        case inspect.EnumType(cls=cls):
            return _one_of(member.value for member in cls)
        case inspect.LiteralType(values=values):
            return _one_of(values)
        case inspect.VarTupleType(item_type=inspect.StructType()):
            return "tables in double brackets"
        case inspect.VarTupleType(item_type=item):
            return f"a list in brackets, each {describe(item)}"
        case inspect.StructType():
            return "a table"
        case inspect.DateTimeType():
            return "a date and time in UTC such as 2026-11-01T06:00:00Z"
        case _:
            raise TypeError(f"no words for {kind!r}")


def _without_none(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        return next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind


def _one_of(values: Any) -> str:
    return " or ".join(msgspec.json.encode(value).decode() for value in values)


def _bounds(kind: inspect.FloatType | inspect.IntType) -> str:
    low = f"from {kind.ge:.15g}" if kind.ge is not None else ""
    if kind.gt is not None:
        low = f"above {kind.gt:.15g}"
    high = f"to {kind.le:.15g}" if kind.le is not None else ""
    if low.startswith("above") and high:
        high = f"and at most {kind.le:.15g}"
    text = " ".join(part for part in (low, high) if part)
    return f" {text}" if text else ""
