"""What a probe and the server say to each other once, before they know each other.

The token file, the request and the reply: shared by both ends, so defined once.
Knows nothing of certificates beyond that they are PEM text. Source:
docs/decisions/0004-enrolment-over-mqtt.md.
"""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from linewatch_core.errors import LimitError, MalformedError
from linewatch_core.ids import ProbeId, parse_probe_id

TOKEN_FORMAT: Final = "linewatch-token-1"
TOKEN_BYTES_MAX = 32_768
REQUEST_BYTES_MAX = 8_192
KEY_BYTES = 32

_TOKEN_ID = re.compile(r"t-[a-z2-7]{16}")

_NOT_DECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bad bytes; for bad UTF-8 inside a string, not an error of its own."""

Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """All that a new probe must be told: one file, one probe, one time.

    Attributes:
        format: what the file is.
        token: the token's id, `t-` and 16 characters of a-z2-7; the common name of
            `certificate`, and the third level of the topics of enrolment.
        probe: the id that the probe will have.
        secret: proves that the asker has this file.
        expires: until when the server takes it.
        endpoints: where to connect (`mqtts://host:port`, `wss://host:port`).
        recipients: X25519 public keys that segments are sealed to.
        ack_key: the Ed25519 public key that signs the server's acks.
        authority: the fleet's certificate authority, PEM.
        certificate, key: for the connection that enrols, PEM; end with the token.
    """

    format: Literal["linewatch-token-1"]
    token: str
    probe: str
    secret: Annotated[str, msgspec.Meta(min_length=16, max_length=128)]
    expires: datetime
    endpoints: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    recipients: Annotated[tuple[Key, ...], msgspec.Meta(min_length=1, max_length=16)]
    ack_key: Key
    authority: str
    certificate: str
    key: str


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A probe asks for its certificate: a PKCS #10 request and its first Ed25519 key."""

    token: str
    secret: str
    csr: str
    signing_key: Key


class EnrolReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either the probe's certificate (PEM) or why there is none."""

    certificate: str | None = None
    error: str | None = None


def parse_token_id(text: str) -> str:
    """Return `text` if it is a token's id, or raise MalformedError."""
    if not _TOKEN_ID.fullmatch(text):
        raise MalformedError(f"not a token id: {text[:40]!r} (expected t- and 16 of a-z2-7)")
    return text


def decode_token(text: str) -> Token:
    """Return the token that a file's text holds, or raise MalformedError in one line."""
    if len(text) > TOKEN_BYTES_MAX:
        raise LimitError(f"not an enrolment token: longer than {TOKEN_BYTES_MAX} characters")
    if TOKEN_FORMAT not in text:
        raise MalformedError("not an enrolment token: it does not say " + TOKEN_FORMAT)
    try:
        token = msgspec.toml.decode(text, type=Token)
    except _NOT_DECODABLE as error:
        raise MalformedError(
            f"the enrolment token is damaged ({error}): copy the file again"
        ) from error
    parse_token_id(token.token)
    parse_probe_id(token.probe)
    if token.expires.tzinfo is None:
        raise MalformedError("the enrolment token is damaged (expires without a time zone)")
    return token


def encode_token(token: Token) -> str:
    """Return a token as the text of its file (TOML)."""
    plain = msgspec.to_builtins(token, builtin_types=(datetime,))
    lines = [
        "# A Linewatch enrolment token: one probe, one time. Whoever has this file can",
        "# enrol that probe until it is used or expires: hand it over privately.",
    ]
    for name, value in plain.items():
        match value:
            case datetime():
                lines.append(f"{name} = {value.astimezone(UTC).isoformat(timespec='seconds')}")
            case str() if "\n" in value:
                lines.append(f"{name} = '''\n{value}'''")
            case _:
                # JSON strings and arrays of strings are TOML as well.
                lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def decode_request(data: bytes) -> EnrolRequest:
    """Return the request that bytes hold, or raise MalformedError."""
    if len(data) > REQUEST_BYTES_MAX:
        raise LimitError(f"request of {len(data)} bytes (at most {REQUEST_BYTES_MAX})")
    try:
        return msgspec.json.decode(data, type=EnrolRequest)
    except _NOT_DECODABLE as error:
        raise MalformedError("not an enrolment request") from error


def decode_reply(data: bytes) -> EnrolReply:
    """Return the reply that bytes hold, or raise MalformedError."""
    try:
        return msgspec.json.decode(data, type=EnrolReply)
    except _NOT_DECODABLE as error:
        raise MalformedError("not a reply to an enrolment request") from error


def probe_of(token: Token) -> ProbeId:
    """Return the id of the probe that a token is for."""
    return parse_probe_id(token.probe)
