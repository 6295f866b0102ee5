"""The server's keys for records: whom probes seal to, and what signs acks.

Raw 32-byte files. The recipient's private key may be kept elsewhere: the server
then stores, acknowledges and relays without being able to read.
"""

from pathlib import Path

from nacl.signing import SigningKey

from linewatch_core.enrolment import KEY_BYTES
from linewatch_server.settings import Layout, SetupError


def read_recipients(layout: Layout) -> tuple[bytes, ...]:
    """Return the public keys that probes seal to, or raise SetupError."""
    paths = sorted(layout.recipients.glob("*.pub"))
    if not paths:
        raise SetupError(f"cannot find a recipient's public key in {layout.recipients}")
    return tuple(_read_key(path) for path in paths)


def read_recipient_key(layout: Layout) -> bytes | None:
    """Return the private key that opens records, or None if it was moved away."""
    return _read_key(layout.recipient_key) if layout.recipient_key.exists() else None


def recipient_secrets(layout: Layout) -> list[bytes]:
    """Return the keys that open records, as far as they are kept on this machine."""
    secret = read_recipient_key(layout)
    return [] if secret is None else [secret]


def read_ack_seed(layout: Layout) -> bytes:
    """Return the seed of the key that signs acks."""
    return _read_key(layout.ack_seed)


def read_ack_public_key(layout: Layout) -> bytes:
    """Return the public half of the key that signs acks."""
    return bytes(SigningKey(read_ack_seed(layout)).verify_key)


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}; restore it") from error
    if len(key) != KEY_BYTES:
        raise SetupError(f"cannot use {path}: expected {KEY_BYTES} bytes, found {len(key)}")
    return key
