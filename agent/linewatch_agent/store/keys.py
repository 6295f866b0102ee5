"""The probe's signing keys: one at a time, replaced daily, the old one erased.

The old key signs the new key's public half and is then overwritten, so that a
seized probe can't sign its own past again. (A flash card may keep the old
bytes until it reuses the cells: docs/safety.md says so.) The keys live beside
the store, not in it, so that a damaged store does not cost the identity.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from linewatch_agent.durable import write_whole
from linewatch_agent.store.database import StoreFullError
from linewatch_agent.store.opening import os_error
from linewatch_core.errors import LinewatchError
from linewatch_core.ids import BootId, ProbeId
from linewatch_core.segment.keychain import (
    KeyCertificate,
    certify_key,
    encode_certificates,
    parse_certificates,
)
from linewatch_core.segment.signing import SigningKey, key_id

KEYS_FILE = "signing.keys"
ROTATE_AFTER_MS = 24 * 3600 * 1000
MESSAGE_CERTIFICATES = 256
"""Certificates in one message: 37 kB, well within what any broker takes."""


class _Kept(msgspec.Struct, frozen=True):
    seed: bytes
    position: int
    boot: str
    since_ms: int
    certificates: list[bytes]


class SigningKeys:
    """The present signing key, and the certificates that lead to it from the first."""

    def __init__(self, path: Path, probe: ProbeId, kept: _Kept) -> None:
        self._path = path
        self._probe = probe
        self._kept = kept
        self._certificates = [c for one in kept.certificates for c in parse_certificates(one)]
        if len(self._certificates) != kept.position:
            raise ValueError(f"{len(self._certificates)} certificates for key {kept.position}")
        self.current = SigningKey(kept.seed)
        self._publics: dict[str, bytes] = {}

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
            StoreError: the file can't be read or written.
            LinewatchError: the file is damaged.
        """
        path = directory / KEYS_FILE
        try:
            if not path.exists():
                keys = cls(path, probe, _Kept(first_seed(), 0, boot, now_ms, []))
                _replace(path, keys._kept)
                return keys
            data = path.read_bytes()
        except OSError as error:
            raise os_error(directory, error) from error
        try:
            return cls(path, probe, msgspec.msgpack.decode(data, type=_Kept))
        except (msgspec.MsgspecError, LinewatchError, ValueError) as error:
            raise LinewatchError(
                f"cannot read {path}: it is damaged; enrol this probe again with a new token"
            ) from error

    @property
    def certificates(self) -> list[KeyCertificate]:
        """All rotations, oldest first."""
        return list(self._certificates)

    def publics(self) -> dict[str, bytes]:
        """Return the public keys of this probe, all that ever signed, by their id."""
        # Worked out once a rotation: it is asked for with every segment that is sent.
        if self.current.id not in self._publics:
            self._publics = {self.current.id: self.current.public}
            for one in self._certificates:
                both = (one.old_public, one.new_public)
                self._publics |= {key_id(public): public for public in both}
        return self._publics

    def certificates_after(self, known_key: str | None) -> list[KeyCertificate]:
        """Return the rotations that a server still needs that knows `known_key` as the newest."""
        for index, certificate in enumerate(self._certificates):
            if key_id(certificate.new_public) == known_key:
                return self._certificates[index + 1 :]
        return self.certificates

    def messages_after(self, known_key: str | None) -> list[bytes]:
        """Return `certificates_after` as messages of at most 256 each, in the order to send."""
        rest = self.certificates_after(known_key)
        starts = range(0, len(rest), MESSAGE_CERTIFICATES)
        return [encode_certificates(rest[at : at + MESSAGE_CERTIFICATES]) for at in starts]

    def rotate_if_due(self, *, boot: BootId, now_ms: int, seed: Callable[[], bytes]) -> bool:
        """Replace the key if it is of another boot or 24 h old; return whether it was.

        On a full disk the present key goes on, and the next call tries again.

        Raises:
            StoreError: the folder can't be written for another reason; the key is unchanged.
        """
        kept = self._kept
        if kept.boot == boot and now_ms - kept.since_ms < ROTATE_AFTER_MS:
            return False
        new_key = SigningKey(new_seed := seed())
        position = kept.position + 1
        certificate = certify_key(self._probe, self.current, new_key.public, position=position)
        chain = [*kept.certificates, encode_certificates([certificate])]
        after = _Kept(new_seed, position, boot, now_ms, chain)
        try:
            _replace(self._path, after)
        except OSError as error:
            problem = os_error(self._path.parent, error)
            if isinstance(problem, StoreFullError):
                return False
            raise problem from error
        # Only a key that is on the disk may sign: one that a power cut forgets vouches for nothing.
        self._kept, self.current = after, new_key
        self._certificates.append(certificate)
        return True


def _replace(path: Path, kept: _Kept) -> None:
    """Put `kept` in place of the file, durably, then overwrite the old one's bytes."""
    old = path.open("r+b") if path.exists() else contextlib.nullcontext()
    with old as stale:
        write_whole(path, msgspec.msgpack.encode(kept))
        if stale is not None:
            # Only now, with the new file in place, is the old seed overwritten.
            stale.write(b"\0" * os.fstat(stale.fileno()).st_size)
            stale.flush()
            os.fsync(stale.fileno())
