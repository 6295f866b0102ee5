"""What stands in the volunteer's file on the card: a token, SIM cards, and any configuration.

Pure: the file's bytes in, a Card out, or one line of error that names the person's own
line. Knows nothing of where the parts go (first_boot.py). Invariant: any bytes give a
Card or a ConfigError. Source: docs/volunteer.md.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from linewatch_agent.plan.card_text import statements, text_of, without
from linewatch_agent.plan.config_rules import config_faults
from linewatch_agent.plan.settings import Config, Section
from linewatch_agent.plan.target_words import Fault
from linewatch_agent.plan.toml_errors import ConfigError, Source, decode_toml
from linewatch_agent.plan.toml_types import Path
from linewatch_core.enrolment import TOKEN_FORMAT, Token

OWN_KEYS = ("token", "apn", "apn_user", "apn_password", "pin", "sim")
"""What the card's file may say beyond the probe's configuration."""

TOKEN_KEYS = tuple(Token.__struct_fields__)
"""The keys of a token file: somebody may have renamed it, or pasted it in as it is."""

_APN = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What NetworkManager takes (libnm, gsm.apn)."""
_PIN = re.compile(r"[0-9]{4,8}")
"""3GPP TS 31.101."""
_OPERATOR = re.compile(r"[0-9]{5,6}")
_PLAIN = re.compile(r"[ -~]{1,64}")

_SECRET = ("token", "pin", "password", "apn_password")
"""Keys whose values no message shows: it goes into a file that people hand on."""


class Sim(Section, frozen=True):
    """[[sim]]: how one SIM card gets its data session.

    Attributes:
        operator: country and network code of the SIM's home network, 5 or 6 digits;
            None: for every SIM that no other table is for.
        apn: the access point's name; None: NetworkManager looks it up.
        user, password: where the operator wants them.
        pin: of the SIM; None: it asks for none.
    """

    operator: str | None = None
    apn: str | None = None
    user: str | None = None
    password: str | None = None
    pin: str | None = None


class _CardFile(Config, frozen=True):
    """The whole file: the probe's configuration, and OWN_KEYS."""

    token: str | None = None
    apn: str | None = None
    apn_user: str | None = None
    apn_password: str | None = None
    pin: str | None = None
    sim: tuple[Sim, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """What a card's file says, split by where it goes.

    Attributes:
        sims: what the mobile lines need; may be empty.
        config: the configuration, checked.
        config_text: the same as TOML, line by line where the person wrote it.
    """

    sims: tuple[Sim, ...]
    config: Config
    config_text: str


def read_card(data: bytes, *, name: str) -> Card:
    """Return what the file says besides its token.

    Args:
        data: the file's content.
        name: what to call the file in errors.
    Raises:
        ConfigError: one line: file, line, key, what is expected, what was found.
    """
    text = without(text_of(data, name), _token_keys(data), name)
    try:
        card, source = decode_toml(text, _CardFile, name=name)
    except ConfigError as error:
        raise _without_secret(error) from None
    for fault in (*config_faults(card, source), *_sim_faults(card, source)):
        raise source.error(fault.path, fault.reason)
    config_text = without(text, OWN_KEYS, name)
    config, _ = decode_toml(config_text, Config, name=name)
    return Card(_sims(card), config, config_text)


def token_in(data: bytes) -> str | None:
    """Return the text of the token that the file holds, if it holds one.

    The rest of the file may be wrong, as long as it is TOML: a misspelt key must not
    keep a probe from joining its fleet.

    Raises:
        ConfigError: a token file whose values are too long.
    """
    document = _document(data) or {}
    if document.get("format") == TOKEN_FORMAT:
        kept = [s.text for s in statements(text_of(data, ""), "") if s.key in TOKEN_KEYS]
        return "\n".join(kept) + "\n"
    token = document.get("token")
    return token if isinstance(token, str) else None


def is_toml(data: bytes) -> bool:
    """Return whether the file can be read at all: else nobody knows what is in it."""
    return _document(data) is not None


def without_token(data: bytes) -> bytes:
    """Return the file without its token: all else stays as the person wrote it.

    Raises:
        ConfigError: not TOML.
    """
    windows = b"\r\n" in data
    text = without(text_of(data, "the file"), _token_keys(data), "the file")
    if text.strip():
        text = text.strip("\n") + "\n"
    return (text.replace("\n", "\r\n") if windows else text).encode()


def _without_secret(error: ConfigError) -> ConfigError:
    """Return the error without the value that was found, where that is a secret."""
    if error.key is None or error.key.rpartition(".")[2] not in _SECRET:
        return error
    reason = "expected text in quotes, found another value"
    return ConfigError(error.file, reason, line=error.line, key=error.key)


def _token_keys(data: bytes) -> tuple[str, ...]:
    """Return the top-level keys that are the token's: of a token file, or `token` alone."""
    document = _document(data) or {}
    if document.get("format") == TOKEN_FORMAT:
        return TOKEN_KEYS
    return ("token",) if isinstance(document.get("token"), str) else ()


def _document(data: bytes) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text_of(data, ""))
    except (ConfigError, ValueError, RecursionError):
        return None


def _sims(card: _CardFile) -> tuple[Sim, ...]:
    alone = Sim(apn=card.apn, user=card.apn_user, password=card.apn_password, pin=card.pin)
    return card.sim if alone == Sim() else (alone,)


def _sim_faults(card: _CardFile, source: Source) -> Iterator[Fault]:
    yield from _faults_of(Sim(apn=card.apn, pin=card.pin), (), source)
    for key in ("apn_user", "apn_password"):
        yield from _text_faults(getattr(card, key), (key,))
    if card.sim and (first := next((k for k in OWN_KEYS[1:5] if getattr(card, k)), None)):
        yield Fault((first,), "expected either this or [[sim]] tables, found both")
    seen: set[str | None] = set()
    for position, sim in enumerate(card.sim):
        path: Path = ("sim", position)
        yield from _faults_of(sim, path, source)
        yield from _text_faults(sim.user, (*path, "user"))
        yield from _text_faults(sim.password, (*path, "password"))
        if sim.operator in seen:
            reason = "expected a table for each operator once, and one at most without operator"
            yield Fault(path, reason)
        seen.add(sim.operator)


def _faults_of(sim: Sim, path: Path, source: Source) -> Iterator[Fault]:
    for key, value, pattern, wanted in (
        ("operator", sim.operator, _OPERATOR, "5 or 6 digits such as 40101"),
        ("apn", sim.apn, _APN, "an access point's name such as internet"),
        ("pin", sim.pin, _PIN, "4 to 8 digits in quotes"),
    ):
        if value is not None and not pattern.fullmatch(value):
            found = "another text" if key in _SECRET else source.found((*path, key))
            yield Fault((*path, key), f"expected {wanted}, found {found}")


def _text_faults(value: str | None, path: Path) -> Iterator[Fault]:
    if value is not None and not _PLAIN.fullmatch(value):
        yield Fault(path, "expected 1 to 64 letters, digits and signs of English")
