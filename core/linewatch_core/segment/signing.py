"""Ed25519 signing keys and their ids.

Key material comes in as bytes and never leaves; this module draws no
randomness. What is signed always begins with a magic of four bytes, so that
no signature can be taken for one over something else. Source: RFC 8032.
"""

import hashlib
from typing import NewType

import nacl.signing
from nacl.exceptions import BadSignatureError, CryptoError

from linewatch_core.errors import SignatureError

KeyId = NewType("KeyId", str)
"""16 hexadecimal digits: the first 8 bytes of the SHA-256 of a public key."""

KEY_BYTES = 32
KEY_ID_BYTES = 8
SIGNATURE_BYTES = 64


def key_id(public_key: bytes) -> KeyId:
    """Return the id of a public key of 32 bytes, Ed25519 or X25519."""
    if len(public_key) != KEY_BYTES:
        raise ValueError(f"a public key has {KEY_BYTES} bytes, got {len(public_key)}")
    return KeyId(hashlib.sha256(public_key).digest()[:KEY_ID_BYTES].hex())


class SigningKey:
    """A private Ed25519 key; its repr shows its id only."""

    __slots__ = ("_key", "id", "public")

    def __init__(self, seed: bytes) -> None:
        """Make the key that 32 random bytes spell; ValueError for any other length."""
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a signing key's seed has {KEY_BYTES} bytes, got {len(seed)}")
        self._key = nacl.signing.SigningKey(seed)
        self.public: bytes = bytes(self._key.verify_key)
        self.id: KeyId = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes; the same for the same message."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


def check_signature(public_key: bytes, message: bytes, signature: bytes, *, subject: str) -> None:
    """Raise SignatureError unless `signature` over `message` is by `public_key`.

    Args:
        subject: what is being checked, for the error's text.
    """
    try:
        nacl.signing.VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError):
        raise SignatureError(
            f"cannot trust {subject}: its signature is not by key {public_key[:4].hex()}…; "
            "it was altered, or signed by someone else"
        ) from None
