"""Turn a test list of the Citizen Lab (CSV) into targets.

Pure. A row becomes a small check of its host: names are what is blocked, and a page would
cost a thousand times the data. Invariant: any bytes give targets that pass target_rules.py,
or a ConfigError. Source of the format: github.com/citizenlab/test-lists, README.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from linewatch_agent.plan.target_rules import target_faults
from linewatch_agent.plan.target_words import address_version
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target

BYTES_MAX = 4 * 1024 * 1024
"""Ten times the longest list there is."""
TARGETS_MAX = 500
CONTROL_CATEGORY = "CTRL"
"""The list's own word for content that nobody blocks."""
COLUMNS = ("url", "category_code")

_CATEGORY = re.compile(r"[A-Z0-9_]{1,16}")
_COUNTRY = re.compile(r"[a-z]{2}|global")
_ID_CHARS_MAX = 48


@dataclass(frozen=True, slots=True)
class Imported:
    """What a list gave.

    Attributes:
        targets: in the list's order, one a host and port.
        left_out: how many rows gave no target of their own, per reason in words.
    """

    targets: tuple[Target, ...]
    left_out: dict[str, int]


def import_test_list(
    data: bytes,
    *,
    name: str,
    country: str,
    categories: Sequence[str] = (),
    targets_max: int = 20,
    every: int = 20,
) -> Imported:
    """Return the targets that a test list means.

    Args:
        data: the CSV file, UTF-8, with the header of the format.
        name: what to call the file in errors.
        country: two letters or `global`; the ids begin with it.
        categories: codes to take (`NEWS`, `HUMR`, ...); none: all.
        targets_max: how many targets at most, 1 to 500.
        every: the targets' `every`.
    Raises:
        ConfigError: no such file, country or category.
    """
    if not _COUNTRY.fullmatch(country):
        raise ConfigError(name, f'expected two letters or "global" as country, found {country!a}')
    rows = list(_rows(data, name))
    known = {row.category for row in rows}
    for code in categories:
        if code not in known:
            some = ", ".join(sorted(known)) or "none"
            raise ConfigError(name, f"there is no category {code!a}; it has {some}")
    left_out: Counter[str] = Counter()
    targets: dict[tuple[str, int], Target] = {}
    ids: set[str] = set()
    for row in rows:
        if categories and row.category not in categories:
            left_out["of other categories"] += 1
            continue
        found = _target(row, every=every)
        if isinstance(found, str):
            left_out[found] += 1
        elif (found.host, found.port) in targets:
            left_out["of a host that is there already"] += 1
        elif len(targets) >= targets_max:
            left_out[f"beyond the first {targets_max}"] += 1
        else:
            named = _named(found, country, ids)
            ids.add(named.id)
            targets[found.host, found.port] = named
    if not targets:
        raise ConfigError(name, "no row of it can be measured")
    return Imported(tuple(targets.values()), dict(left_out))


@dataclass(frozen=True, slots=True)
class _Row:
    url: str
    category: str


def _rows(data: bytes, name: str) -> Iterator[_Row]:
    if len(data) > BYTES_MAX:
        raise ConfigError(name, f"expected at most {BYTES_MAX} bytes, found {len(data)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(name, "expected UTF-8 text, found other bytes", line=line) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        for column in COLUMNS:
            if column not in header:
                wanted = "a header with url, category_code, ... as the Citizen Lab's lists have"
                raise ConfigError(name, f"expected {wanted}; {column} is missing", line=1)
        url, category = (header.index(column) for column in COLUMNS)
        for cells in reader:
            if any(cells):
                padded = [*cells, *[""] * len(header)]
                yield _Row(padded[url].strip(), padded[category].strip().upper())
    except csv.Error as error:
        raise ConfigError(name, f"not CSV: {error}", line=reader.line_num) from None


def _target(row: _Row, *, every: int) -> Target | str:
    """Return a row's target (its id to be given later), or why there is none, in words."""
    try:
        parts = urlsplit(row.url)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        return "whose URL is wrong"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "whose URL is wrong"
    if not _is_public(host):
        return "whose host is of a private network"
    if parts.username is not None or parts.password is not None:
        return "whose URL holds a name or password"
    if not _CATEGORY.fullmatch(row.category):
        return "without a category"
    target = Target(
        id="x",
        role=Role.NEUTRAL if row.category == CONTROL_CATEGORY else Role.SENSITIVE,
        host=host,
        # The question of an address is nobody's: it is reached or it is not.
        checks=(Check.TCP,) if address_version(host) else (Check.DNS, Check.TCP),
        port=port or (80 if parts.scheme == "http" else 443),
        every=every,
        category=row.category,
    )
    return "whose host is none" if any(target_faults(target)) else target


def _ascii_host(host: str) -> str:
    """Return a URL's host in ASCII, without the root's dot.

    Raises:
        ValueError: it has no ASCII form (UnicodeError is one).
    """
    plain = host.rstrip(".").lower()
    return plain if plain.isascii() else plain.encode("idna").decode("ascii")


def _is_public(host: str) -> bool:
    """Return whether a host can lie beyond the home: a list must not probe its network."""
    return ip_address(host).is_global if address_version(host) else "." in host


def _named(target: Target, country: str, taken: set[str]) -> Target:
    """Return the target with an id of its own made of country and host."""
    short = target.host.removeprefix("www.").replace(":", "-")
    base = re.sub(r"[^a-z0-9._-]", "-", f"{country}-{short}")
    name, number = base[:_ID_CHARS_MAX], 1
    while name in taken:
        number += 1
        name = f"{base[: _ID_CHARS_MAX - 5]}-{number}"
    return msgspec.structs.replace(target, id=name)
