"""Decode a TOML file into a typed struct, or say in one line what is wrong with it.

Used for the configuration and for target sets. It knows nothing of what the keys
mean. Invariant: any text or bytes give a value or a ConfigError. The line named
is exact: it is found by parsing prefixes of the text (`line_of`), never guessed.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from linewatch_agent.plan.toml_lines import ABSENT, line_of, look_up
from linewatch_agent.plan.toml_types import Path, describe, type_at, unknown_key
from linewatch_core.errors import LinewatchError

T = TypeVar("T")
TEXT_BYTES_MAX = 256 * 1024
"""More than a target set of a thousand hosts; keeps a wrong file cheap to refuse."""

_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)$")
_AT_END = "(at end of document)"
_MISSING = re.compile(r"missing required field `([^`]*)`")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]")
_BARE = re.compile(r"[A-Za-z0-9_-]{1,60}")


class ConfigError(LinewatchError):
    """A configuration or target file can't be used; the message is one line for people.

    Attributes:
        file: the name it was given.
        reason: what is expected and what was found.
        line: the line from 1, or None where it can't be told.
        key: the key's path such as `schedule.period_s`, or None.
    """

    def __init__(
        self, file: str, reason: str, *, line: int | None = None, key: str | None = None
    ) -> None:
        self.file, self.reason, self.line, self.key = file, reason, line, key
        place = file if line is None else f"{file}, line {line}"
        what = reason if key is None else f"{key}: {reason}"
        super().__init__(f"cannot use {place}: {what}")


@dataclass(frozen=True, slots=True)
class Source:
    """A TOML text that parsed: kept so that later rules can name a line too."""

    name: str
    text: str
    document: dict[str, Any]

    def error(self, path: Path, reason: str) -> ConfigError:
        """Return the error for what is wrong at `path`."""
        key = spell_path(path) or None
        return ConfigError(self.name, reason, line=line_of(self.text, path), key=key)

    def found(self, path: Path) -> str:
        """Return the value at `path` as a person would write it, at most 40 characters."""
        return _show(look_up(self.document, path))


def decode_toml(text: str | bytes, kind: type[T], *, name: str) -> tuple[T, Source]:
    """Return `text` as a `kind` (a msgspec struct), and the source for later errors.

    Args:
        text: the whole file; bytes must be UTF-8 (a byte order mark is dropped, since
            editors of other systems write one).
        kind: a struct type, with ranges in its annotations.
        name: what to call the file in errors.
    Raises:
        ConfigError: not UTF-8, too long, not TOML, or not of that type.
    """
    plain = _as_text(text, name)
    source = Source(name, plain, _parse(plain, name))
    if unknown := unknown_key(source.document, kind):
        raise source.error(unknown.path, f"there is no such key; {unknown.hint}")
    try:
        return msgspec.convert(source.document, kind), source
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, source) from None


def spell_path(path: Path) -> str:
    """Return a path as `schedule.period_s` or `target[2].host`."""
    return "".join(map(_spell_step, path)).removeprefix(".")


def _spell_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _BARE.fullmatch(step) else f".{_show(step)}"


def _show(value: Any) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=True)
    else:
        try:
            text = str(value)
        except ValueError:  # Python refuses to print integers of over 4,300 digits
            text = "a huge number"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _as_text(text: str | bytes, name: str) -> str:
    if len(text) > TEXT_BYTES_MAX:
        raise ConfigError(name, f"expected at most {TEXT_BYTES_MAX} bytes, found {len(text)}")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigError(name, "expected UTF-8 text, found other bytes", line=line) from None
    # As tomllib does, so that our line numbers are its line numbers.
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(name, "expected a flat file, found lists nested too deep") from None
    except ValueError as error:
        message = str(error)
        line = None
        if at := _AT_LINE.search(message):
            line, message = int(at[1]), message[: at.start()]
        elif message.endswith(_AT_END):
            line, message = text.count("\n") + 1, f"{message.removesuffix(_AT_END)}at the end"
        raise ConfigError(name, f"not TOML: {ascii(message)[1:-1]}", line=line) from None


def _explained(message: str, kind: type, source: Source) -> ConfigError:
    """Turn msgspec's message into ours: the place from it, the words from the type."""
    # The last one, since what comes before can quote the file.
    what, _, place = message.rpartition(" - at `$")
    steps: Path = tuple(int(n) if n else key for key, n in _STEP.findall(place if what else ""))
    path = _with_dots(steps, source.document)
    if missing := _MISSING.search(what or place):
        wanted = describe(type_at(kind, (*path, missing[1])))
        return source.error(path, f"{missing[1]} is missing: expected {wanted}")
    wanted = describe(type_at(kind, path))
    return source.error(path, f"expected {wanted}, found {source.found(path)}")


def _with_dots(steps: Path, document: Any) -> Path:
    """Join the steps of keys that have dots in them: msgspec's path doesn't quote these."""
    path: list[str | int] = []
    value, key = document, ""
    for step in steps:
        if not isinstance(step, str) or not isinstance(value, dict):
            found: str | int = step
        else:
            found = key = f"{key}.{step}" if key else step
            if key not in value:
                continue
        path.append(found)
        value, key = look_up(value, (found,)), ""
    return tuple(path)
