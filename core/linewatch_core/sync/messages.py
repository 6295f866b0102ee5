"""What probe and server say to each other beside segments.

JSON, so that an operator reads it with plain mosquitto_sub. An ack is signed
by the server's ack key, which the probe got at enrolment: a taken broker can
withhold acks but not invent one and so free what was never stored.
Source: docs/wire-format.md.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from linewatch_core.errors import MalformedError, SignatureError
from linewatch_core.ids import parse_epoch
from linewatch_core.records import AnchorSource, Stream

ACK_CONTEXT = b"linewatch/ack/1\0"
MESSAGE_BYTES_MAX = 64 * 1024
HOLES_MAX = 64
SPREAD_S_MAX = 3600

_T = TypeVar("_T")

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Clock(msgspec.Struct, frozen=True):
    """How well a probe knows the time: None where it never had an anchor."""

    error_ms: int | None = None
    source: AnchorSource | None = None


Heads: TypeAlias = Mapping[Stream, tuple[tuple[Seq, str], ...]]


class Status(msgspec.Struct, frozen=True):
    """The birth of a connection, or its end.

    Attributes:
        state: `online`; `lost` (the will); `stopped` (a clean exit).
        conn: the connection's number, counted over the life of the store.
        epoch: the store's id.
        version: the agent's version.
        held: per stream, the first and last seq that the store still has whole.
        backlog: records sealed and not yet acked.
        clock: the present error bound of the probe's clock.
    """

    state: Literal["online", "lost", "stopped"]
    conn: Seq
    epoch: str
    version: str = ""
    held: dict[Stream, tuple[Seq, Seq]] = {}
    backlog: Seq = 0
    clock: Clock = Clock()


class StreamAck(msgspec.Struct, frozen=True):
    """Everything up to `through` is in durable storage, but for `holes` (inclusive ranges)."""

    through: Seq
    holes: tuple[tuple[Seq, Seq], ...] = ()


class Ack(msgspec.Struct, frozen=True):
    """What the server has of one epoch of one probe.

    Attributes:
        probe, epoch: whose.
        conn: the number of the connection that this answers.
        birth: this is the first word on that connection: whatever was sent before
            it and is not in it did not arrive.
        streams: per stream; one that is absent is unchanged.
        server_ms: Unix time at the server when it made this.
        server_error_ms: the server's own bound on that.
        credit_bytes: how much may be on its way without an ack.
        spread_s: after a loss of the connection that may be everybody's, wait a random
            time of up to this before the first try.
        key: id of the newest signing key that the server knows of this probe.
        heads: with a birth, per stream the segments at the ends of what the server holds: the
            last seq of each and the SHA-256 of its header in hex. Where the probe has another
            segment there, or has not come so far, its store went back to an earlier state.
    """

    probe: str
    epoch: str
    conn: Seq
    birth: bool
    streams: dict[Stream, StreamAck]
    server_ms: Seq
    server_error_ms: Annotated[int, msgspec.Meta(ge=0)]
    credit_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024
    spread_s: Annotated[int, msgspec.Meta(ge=0, le=SPREAD_S_MAX)] = 0
    key: str | None = None
    heads: Heads = {}


class _Signed(msgspec.Struct, frozen=True):
    msg: msgspec.Raw
    sig: str


def encode_status(message: Status) -> bytes:
    """Return a status as JSON."""
    return msgspec.json.encode(message)


def decode_status(data: bytes) -> Status:
    """Return the status in `data`, or raise MalformedError."""
    message = _decode(data, Status)
    parse_epoch(message.epoch)
    if any(not 1 <= first <= last for first, last in message.held.values()):
        raise MalformedError("a status holds an empty range")
    return message


def sign_ack(message: Ack, key: SigningKey) -> bytes:
    """Return an ack as JSON with its signature."""
    body = msgspec.json.encode(message)
    signature = key.sign(ACK_CONTEXT + body).signature
    return msgspec.json.encode(_Signed(msgspec.Raw(body), base64.b64encode(signature).decode()))


def open_ack(data: bytes, key: VerifyKey) -> Ack:
    """Return the ack in `data` after checking the server's signature.

    Raises:
        MalformedError: not an ack.
        SignatureError: not signed by that key.
    """
    envelope = _decode(data, _Signed)
    body = bytes(envelope.msg)
    try:
        signature = base64.b64decode(envelope.sig, validate=True)
        # One spelling only, so that no changed byte of an ack goes unnoticed.
        if base64.b64encode(signature).decode() != envelope.sig:
            raise ValueError("not the one spelling of these bytes")
        key.verify(ACK_CONTEXT + body, signature)
    except (binascii.Error, ValueError, BadSignatureError) as error:
        raise SignatureError("the ack is not signed by this fleet's server") from error
    message = _decode(body, Ack)
    for part in message.streams.values():
        if any(not 1 <= first <= last <= part.through for first, last in part.holes):
            raise MalformedError("an ack's hole lies outside of what it acknowledges")
    return message


def _decode(data: bytes, kind: type[_T]) -> _T:
    if len(data) > MESSAGE_BYTES_MAX:
        raise MalformedError(f"a message of {len(data)} bytes is over {MESSAGE_BYTES_MAX}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not a {kind.__name__} message: {error}") from error
