"""Sealing records to recipients: block keys, frames, and the body made of them.

A frame is a block of records under RFC 8439 ChaCha20-Poly1305; its block key
is wrapped to each recipient in a libsodium sealed box. Randomness is an
argument. Invariant: a block key never meets the same counter twice.
Source: docs/wire-format.md, "Body"; docs/decisions/0003-one-body-format.md.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import nacl.bindings
import nacl.public
from nacl.exceptions import CryptoError

from linewatch_core.errors import DecryptionError, MalformedError, UnknownKeyError
from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_bytes
from linewatch_core.records import Record, Stream
from linewatch_core.segment.codec import STREAM_CODES, encode_block
from linewatch_core.segment.signing import KEY_BYTES, KEY_ID_BYTES, KeyId, key_id
from linewatch_core.segment.wire import Reader

MAGIC = b"LWF1"
RECIPIENTS_MAX = 16
BOX_BYTES = KEY_BYTES + 16 + KEY_BYTES
"""A sealed box around a block key: ephemeral public key, tag, key."""
TAG_BYTES = 16
_NONCE_BYTES = 12
_BOX_NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """Someone's X25519 public key (32 bytes) to which records are sealed."""

    public: bytes

    @property
    def id(self) -> KeyId:
        """The id by which headers name this key."""
        return key_id(self.public)


@dataclass(frozen=True, slots=True, repr=False)
class BlockKey:
    """The key of one block. `secret` stays in RAM; `wraps` goes beside the first frame.

    `wraps` is: how many recipients (1 byte), their ids ascending, their sealed boxes
    in that order.
    """

    secret: bytes
    wraps: bytes


@dataclass(frozen=True, slots=True)
class FrameContext:
    """What a frame is bound to besides its numbers."""

    probe: ProbeId
    epoch: Epoch
    stream: Stream
    boot: BootId


@dataclass(frozen=True, slots=True)
class Frame:
    """Sealed records `first_seq` to `last_seq`; `counter` is its nonce."""

    counter: int
    first_seq: int
    last_seq: int
    ciphertext: bytes


class BlockSealer:
    """Seals frames of one block; counts, so that no nonce is used twice under its key.

    The journal's frames come first; the whole block, once full, is simply the next.
    Never make two for one key, nor one for a key that came back from disk.
    """

    __slots__ = ("_context", "_counter", "_key")

    def __init__(self, key: BlockKey, context: FrameContext) -> None:
        self._key = key
        self._context = context
        self._counter = 0

    @property
    def wraps(self) -> bytes:
        """What must be stored beside the first frame."""
        return self._key.wraps

    def seal(self, records: Sequence[Record]) -> Frame:
        """Return the next frame; ValueError if `encode_block` refuses the records."""
        plaintext = encode_block(records)
        counter, self._counter = self._counter, self._counter + 1
        return seal_frame(
            self._key.secret,
            self._context,
            plaintext,
            counter=counter,
            first_seq=records[0].seq,
            last_seq=records[-1].seq,
        )


def new_block_key(
    secret: bytes, recipients: Sequence[RecipientKey], ephemerals: Sequence[bytes]
) -> BlockKey:
    """Return the block key `secret`, wrapped to each recipient.

    Args:
        secret: 32 random bytes, used for one block only.
        recipients: 1 to 16 different keys.
        ephemerals: for each recipient, 32 random bytes of its own, forgotten afterwards.
    Raises:
        ValueError: the counts or lengths are wrong.
        MalformedError: a recipient's key is not a usable X25519 key.
    """
    if len(secret) != KEY_BYTES or any(len(e) != KEY_BYTES for e in ephemerals):
        raise ValueError(f"a block key and its ephemerals have {KEY_BYTES} bytes each")
    ids = [recipient.id for recipient in recipients]
    if not 1 <= len(set(ids)) == len(recipients) == len(ephemerals) <= RECIPIENTS_MAX:
        raise ValueError(f"a block key needs 1 to {RECIPIENTS_MAX} recipients, one ephemeral each")
    boxes = {
        recipient.id: _sealed_box(secret, recipient, ephemeral)
        for recipient, ephemeral in zip(recipients, ephemerals, strict=True)
    }
    ids.sort()
    clear = bytes([len(ids)]) + b"".join(map(bytes.fromhex, ids))
    return BlockKey(secret, clear + b"".join(boxes[recipient] for recipient in ids))


def split_wraps(wraps: bytes) -> tuple[tuple[KeyId, ...], bytes]:
    """Return the recipients' ids and their boxes; raise MalformedError for other bytes."""
    reader = Reader(wraps, subject="key wraps")
    count = reader.byte("recipient count")
    ids = tuple(KeyId(reader.take(KEY_ID_BYTES, "recipients").hex()) for _ in range(count))
    boxes = reader.take(count * BOX_BYTES, "boxes")
    reader.end()
    if not 1 <= count <= RECIPIENTS_MAX or list(ids) != sorted(set(ids)):
        raise reader.error("its recipients are not 1 to 16 in ascending order")
    return ids, boxes


def seal_frame(
    secret: bytes,
    context: FrameContext,
    plaintext: bytes,
    *,
    counter: int,
    first_seq: int,
    last_seq: int,
) -> Frame:
    """Return a frame. The caller answers for a fresh `counter`: prefer `BlockSealer`."""
    bound = _bound_data(context, counter, first_seq, last_seq)
    sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, bound, _nonce(counter), secret
    )
    return Frame(counter, first_seq, last_seq, sealed)


def open_frame(secret: bytes, context: FrameContext, frame: Frame) -> bytes:
    """Return a frame's plaintext; raise DecryptionError if key or binding is another."""
    bound = _bound_data(context, frame.counter, frame.first_seq, frame.last_seq)
    try:
        return nacl.bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            frame.ciphertext, bound, _nonce(frame.counter), secret
        )
    except CryptoError:
        raise DecryptionError(
            f"cannot open frame of seqs {frame.first_seq} to {frame.last_seq}: "
            "it was altered, moved, or sealed under another key"
        ) from None


def unwrap_block_key(recipients: Sequence[KeyId], boxes: bytes, recipient_secret: bytes) -> bytes:
    """Return the block's 32-byte key.

    Args:
        recipients, boxes: of the header and of the body, in the same order.
        recipient_secret: an X25519 private key, 32 bytes.
    Raises:
        UnknownKeyError: it is not sealed to this key.
        DecryptionError: the box does not open.
    """
    private = nacl.public.PrivateKey(recipient_secret)
    own = key_id(bytes(private.public_key))
    if own not in recipients:
        raise UnknownKeyError(
            f"cannot open segment: it is sealed to {', '.join(recipients)}, not to {own}"
        )
    at = recipients.index(own) * BOX_BYTES
    try:
        secret = nacl.public.SealedBox(private).decrypt(boxes[at : at + BOX_BYTES])
    except CryptoError:
        raise DecryptionError(f"cannot open segment: the box for {own} was altered") from None
    return secret


def _sealed_box(secret: bytes, recipient: RecipientKey, ephemeral: bytes) -> bytes:
    """Return what crypto_box_seal would, had it drawn `ephemeral` (libsodium's sealed box)."""
    private = nacl.public.PrivateKey(ephemeral)
    public = bytes(private.public_key)
    both = public + recipient.public
    nonce = hashlib.blake2b(both, digest_size=_BOX_NONCE_BYTES).digest()
    try:
        box = nacl.public.Box(private, nacl.public.PublicKey(recipient.public))
    except CryptoError:
        raise MalformedError(
            f"cannot seal to {recipient.id}: not a usable X25519 key; check the configuration"
        ) from None
    return public + box.encrypt(secret, nonce).ciphertext


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(_NONCE_BYTES, "little")


def _bound_data(context: FrameContext, counter: int, first_seq: int, last_seq: int) -> bytes:
    numbers = b"".join(number.to_bytes(8, "little") for number in (counter, first_seq, last_seq))
    return b"".join(
        (
            MAGIC,
            bytes([STREAM_CODES[context.stream]]),
            probe_id_bytes(context.probe),
            bytes.fromhex(context.epoch),
            bytes.fromhex(context.boot),
            numbers,
        )
    )
