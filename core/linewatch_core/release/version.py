"""Versions of releases: numbers and dots, so that everybody orders them alike.

Pure, standard library only.
"""

import re

_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){1,3}")


def is_version(text: str) -> bool:
    """Return whether `text` is a version: two to four numbers, such as `1.4.2`."""
    return _VERSION.fullmatch(text) is not None


def version_key(text: str) -> tuple[int, ...]:
    """Return what orders versions; ValueError for what is none."""
    if not is_version(text):
        raise ValueError(f"not a version: {text[:40]!r} (expected numbers such as 1.4.2)")
    return tuple(map(int, text.split(".")))
