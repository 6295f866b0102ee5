"""The chain of a probe's signing keys: each key signs the next one's public half.

The first key (the root) is enrolled. A key is erased once the next one is
signed, so a probe that is taken cannot re-sign its past; `check_signer_order`
is what makes that count. Source: docs/wire-format.md, "Key certificates".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linewatch_core.errors import ChainError, LimitError, MalformedError, UnknownKeyError
from linewatch_core.ids import ProbeId, probe_id_bytes, probe_id_from_random
from linewatch_core.segment.header import Header
from linewatch_core.segment.signing import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    KeyId,
    SigningKey,
    check_signature,
    key_id,
)

MAGIC = b"LWK1"
CERTIFICATES_MAX = 512
_PROBE_BYTES = 10
_POSITION_BYTES = 4
_CERTIFICATE_BYTES = len(MAGIC) + _PROBE_BYTES + _POSITION_BYTES + 2 * KEY_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCertificate:
    """An old key's word that `new_public` signs from now on.

    Attributes:
        probe: whose keys they are.
        position: the new key's place in the chain; the root is 0, so from 1.
        old_public, new_public: Ed25519 public keys, 32 bytes each.
        signature: by the old key, over everything before it; 64 bytes.
    """

    probe: ProbeId
    position: int
    old_public: bytes
    new_public: bytes
    signature: bytes


def certify_key(
    probe: ProbeId, old_key: SigningKey, new_public: bytes, *, position: int
) -> KeyCertificate:
    """Return the certificate by which `old_key` hands over; `position` is the new key's."""
    if not 1 <= position < 2 ** (8 * _POSITION_BYTES):
        raise ValueError(f"a rotated key's position is 1 to 2^32-1, got {position}")
    key_id(new_public)
    message = _message(probe, position, old_key.public, new_public)
    return KeyCertificate(
        probe=probe,
        position=position,
        old_public=old_key.public,
        new_public=new_public,
        signature=old_key.sign(message),
    )


def encode_certificates(certificates: Sequence[KeyCertificate]) -> bytes:
    """Return certificates as one message: one after the other."""
    if len(certificates) > CERTIFICATES_MAX:
        raise ValueError(f"a message holds {CERTIFICATES_MAX} certificates at most")
    return b"".join(
        _message(c.probe, c.position, c.old_public, c.new_public) + c.signature
        for c in certificates
    )


def parse_certificates(data: bytes) -> list[KeyCertificate]:
    """Return the certificates of a message; signatures are not checked here.

    Raises:
        MalformedError, LimitError: the bytes are not such a message.
    """
    count, rest = divmod(len(data), _CERTIFICATE_BYTES)
    if rest or not count:
        raise MalformedError(
            f"cannot read key certificates: {len(data)} bytes "
            f"are not a whole number of {_CERTIFICATE_BYTES}"
        )
    if count > CERTIFICATES_MAX:
        raise LimitError(
            f"cannot read key certificates: {count} in one message, the limit is {CERTIFICATES_MAX}"
        )
    starts = range(0, len(data), _CERTIFICATE_BYTES)
    return [_parse_one(data[at : at + _CERTIFICATE_BYTES]) for at in starts]


def verify_key_chain(
    root_public: bytes, certificates: Iterable[KeyCertificate], *, probe: ProbeId
) -> dict[KeyId, bytes]:
    """Return the public keys that the root vouches for, root first, in chain order.

    Args:
        root_public: the probe's enrolled key, 32 bytes.
        certificates: all from position 1, ascending.
    Raises:
        ChainError: one is missing, out of order, forked, of another probe, or brings
            back an earlier key.
        SignatureError: a signature is wrong.
    """
    keys = {key_id(root_public): root_public}
    current = root_public
    for position, certificate in enumerate(certificates, start=1):
        if certificate.probe != probe:
            raise ChainError(f"cannot trust key {position}: it is of another probe")
        if certificate.position != position or certificate.old_public != current:
            raise ChainError(f"cannot trust key {position}: it does not follow the key before")
        message = _message(probe, position, current, certificate.new_public)
        subject = f"key certificate {position}"
        check_signature(current, message, certificate.signature, subject=subject)
        current = certificate.new_public
        if key_id(current) in keys:
            raise ChainError(f"cannot trust key {position}: it was in the chain before")
        keys[key_id(current)] = current
    return keys


def check_signer_order(previous: Header, following: Header, keys: Mapping[KeyId, bytes]) -> None:
    """Raise unless the later of two segments is signed by the same or a later key.

    Args:
        keys: as `verify_key_chain` returns them.
    Raises:
        UnknownKeyError: a signer is not in the chain.
        ChainError: a key signed after its successor had.
    """
    order = {known: place for place, known in enumerate(keys)}
    for header in (previous, following):
        if header.signer not in order:
            raise UnknownKeyError(
                f"cannot check segment {header.position}: no key {header.signer} in the chain"
            )
    if order[following.signer] < order[previous.signer]:
        raise ChainError(
            f"cannot follow segment {previous.position}: the next one is signed by an erased key"
        )


def _message(probe: ProbeId, position: int, old_public: bytes, new_public: bytes) -> bytes:
    place = position.to_bytes(_POSITION_BYTES, "little")
    return MAGIC + probe_id_bytes(probe) + place + old_public + new_public


def _parse_one(data: bytes) -> KeyCertificate:
    if not data.startswith(MAGIC):
        raise MalformedError("cannot read key certificates: one does not begin with LWK1")
    at = len(MAGIC)
    probe = probe_id_from_random(data[at : at + _PROBE_BYTES])
    at += _PROBE_BYTES
    position = int.from_bytes(data[at : at + _POSITION_BYTES], "little")
    if not position:
        raise MalformedError("cannot read key certificates: position 0 is the root's")
    at += _POSITION_BYTES
    return KeyCertificate(
        probe=probe,
        position=position,
        old_public=data[at : at + KEY_BYTES],
        new_public=data[at + KEY_BYTES : at + 2 * KEY_BYTES],
        signature=data[at + 2 * KEY_BYTES :],
    )
