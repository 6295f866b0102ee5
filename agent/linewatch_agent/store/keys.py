"""The probe's signing keys: one at a time, replaced daily, the old one erased.

The old key signs the new key's public half and is then overwritten, so that a
seized probe can't sign its own past again. (A flash card may keep the old
bytes until it reuses the cells: docs/safety.md says so.) The keys live beside
the store, not in it, so that a damaged store does not cost the identity.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from linewatch_core.errors import LinewatchError
from linewatch_core.ids import BootId, ProbeId
from linewatch_core.segment.keychain import (
    CERTIFICATES_MAX,
    KeyCertificate,
    certify_key,
    encode_certificates,
    parse_certificates,
)
from linewatch_core.segment.signing import SigningKey, key_id

KEYS_FILE = "signing.keys"
ROTATE_AFTER_MS = 24 * 3600 * 1000


class _Kept(msgspec.Struct, frozen=True):
    seed: bytes
    position: int
    boot: str
    since_ms: int
    certificates: bytes


class SigningKeys:
    """The present signing key, and the certificates that lead to it from the first."""

    def __init__(self, path: Path, probe: ProbeId, kept: _Kept) -> None:
        self._path = path
        self._probe = probe
        self._kept = kept
        self.current = SigningKey(kept.seed)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        probe: ProbeId,
        first_seed: Callable[[], bytes],
        boot: BootId,
        now_ms: int,
    ) -> "SigningKeys":
        """Read the keys of `directory`; on the first start they begin with `first_seed()`.

        Raises:
            LinewatchError: the file is damaged.
        """
        path = directory / KEYS_FILE
        if not path.exists():
            keys = cls(path, probe, _Kept(first_seed(), 0, boot, now_ms, b""))
            keys._write()
            return keys
        try:
            return cls(path, probe, msgspec.msgpack.decode(path.read_bytes(), type=_Kept))
        except (msgspec.DecodeError, ValueError) as error:
            raise LinewatchError(
                f"cannot read {path}: it is damaged; enrol this probe again with a new token"
            ) from error

    @property
    def certificates(self) -> list[KeyCertificate]:
        """The rotations that are kept (the last 512), oldest first."""
        kept = self._kept.certificates
        return parse_certificates(kept) if kept else []

    def certificates_after(self, known_key: str | None) -> list[KeyCertificate]:
        """Return the rotations that a server still needs that knows `known_key` as the newest."""
        certificates = self.certificates
        for index, certificate in enumerate(certificates):
            if key_id(certificate.new_public) == known_key:
                return certificates[index + 1 :]
        return certificates

    def rotate_if_due(self, *, boot: BootId, now_ms: int, seed: Callable[[], bytes]) -> bool:
        """Replace the key if it is of another boot or 24 h old; return whether it was."""
        if self._kept.boot == boot and now_ms - self._kept.since_ms < ROTATE_AFTER_MS:
            return False
        new_seed = seed()
        position = self._kept.position + 1
        new_key = SigningKey(new_seed)
        certificate = certify_key(self._probe, self.current, new_key.public, position=position)
        chain = encode_certificates([*self.certificates, certificate][-CERTIFICATES_MAX:])
        self._kept = _Kept(new_seed, position, boot, now_ms, chain)
        self.current = new_key
        self._write()
        return True

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode(self._kept))
            file.flush()
            os.fsync(file.fileno())
        old = self._path.open("r+b") if self._path.exists() else None
        temporary.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        if old is not None:
            # Only now, with the new file in place, is the old seed overwritten.
            with old:
                old.write(b"\0" * os.fstat(old.fileno()).st_size)
                old.flush()
                os.fsync(old.fileno())
