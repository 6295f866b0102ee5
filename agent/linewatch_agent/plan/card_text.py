"""Take statements out of a TOML text and leave the rest where it stands.

Python reads TOML and can't write it, and a person's file should keep its lines: so
statements are found by parsing them one by one. Pure. Invariant: what is left parses to
the same document without those keys, or a ConfigError says that it can't be done.
"""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass

from linewatch_agent.plan.toml_errors import ConfigError

CARD_BYTES_MAX = 64 * 1024
"""Fifteen tokens; keeps a wrong file cheap to refuse."""
_SPAN_MAX = 400
"""How many lines one value may span. A token has about 60."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Some whole lines of a TOML text.

    Attributes:
        key: the top-level key or table that they belong to; None: blank or a comment
            above the first table.
    """

    key: str | None
    text: str


def text_of(data: bytes, name: str) -> str:
    """Return a person's file as text with plain line ends.

    Windows editors write a byte order mark, and some UTF-16.

    Raises:
        ConfigError: too long, or not text.
    """
    if len(data) > CARD_BYTES_MAX:
        reason = f"expected at most {CARD_BYTES_MAX} bytes: is this the right file?"
        raise ConfigError(name, reason)
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = None if wide else data[: error.start].count(b"\n") + 1
        reason = "expected UTF-8 text, found other bytes: save it as plain text, UTF-8"
        raise ConfigError(name, reason, line=line) from None
    return text.replace("\r\n", "\n")


def statements(text: str, name: str) -> list[Statement]:
    """Return a text's statements in order; joined by line ends they are the text.

    Raises:
        ConfigError: a statement is not TOML, or is longer than _SPAN_MAX lines.
    """
    lines = text.split("\n")
    found: list[Statement] = []
    table: str | None = None
    start = 0
    while start < len(lines):
        end, keys = _statement_at(lines, start, name)
        if keys and lines[start].lstrip().startswith("["):
            table = keys[0]
        key = table if table is not None else (keys[0] if keys else None)
        found.append(Statement(key, "\n".join(lines[start:end])))
        start = end
    return found


def without(text: str, keys: Collection[str], name: str) -> str:
    """Return a text with the statements of some top-level keys blank: lines keep their numbers.

    Raises:
        ConfigError: as `statements`; only where one of the keys is there.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        return text  # whoever decodes it next says what is wrong
    if not any(key in document for key in keys):
        return text
    kept = [
        "\n" * s.text.count("\n") if s.key is not None and s.key in keys else s.text
        for s in statements(text, name)
    ]
    rest = "\n".join(kept)
    wanted = {key: value for key, value in document.items() if key not in keys}
    # By text, since not-a-number is not equal to itself.
    if repr(tomllib.loads(rest)) != repr(wanted):
        raise ConfigError(name, f"expected {', '.join(keys)} on lines of their own")
    return rest


def _statement_at(lines: list[str], start: int, name: str) -> tuple[int, list[str]]:
    """Return where the statement that begins at a line ends, and its top-level key, if any."""
    for end in range(start + 1, min(len(lines), start + _SPAN_MAX) + 1):
        try:
            return end, list(tomllib.loads("\n".join(lines[start:end])))
        except (ValueError, RecursionError):
            continue
    reason = f"expected a value of at most {_SPAN_MAX} lines"
    raise ConfigError(name, reason, line=start + 1)
