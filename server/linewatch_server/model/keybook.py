"""The signing keys of one probe: each enrolled root and the keys it vouches for in turn.

Pure. Certificates may come in any order and more than once; one that does not
connect yet waits. A second certificate for a key that has a successor already
is never taken: the first one archived stands. Source: docs/wire-format.md, "Key certificates".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from linewatch_core.errors import SignatureError
from linewatch_core.segment.keychain import KeyCertificate, encode_certificates
from linewatch_core.segment.signing import SIGNATURE_BYTES, KeyId, check_signature, key_id


@dataclass(slots=True)
class KeyBook:
    """The keys of one probe, as chains of public keys; each chain begins with its root.

    Attributes:
        chains: in the order of enrolment; a new card of the same probe begins a new one.
        waiting: certificates that nothing known connects to yet.
    """

    chains: list[list[bytes]] = field(default_factory=list)
    waiting: list[KeyCertificate] = field(default_factory=list)

    def enrol(self, root_public: bytes) -> None:
        """Take a root; one that is known already changes nothing."""
        if all(chain[0] != root_public for chain in self.chains):
            self.chains.append([root_public])
            self._connect()

    def certify(self, certificates: Iterable[KeyCertificate]) -> None:
        """Take certificates of this probe."""
        known = set(self.waiting)
        self.waiting += [c for c in dict.fromkeys(certificates) if c not in known]
        self._connect()

    def trusted(self) -> dict[KeyId, bytes]:
        """Return all trusted public keys by their id, the newest last."""
        return {key_id(public): public for chain in self.chains for public in chain}

    def _connect(self) -> None:
        connected = True
        while connected:
            connected = False
            for chain in self.chains:
                for certificate in self.waiting:
                    if _connects(chain, certificate):
                        chain.append(certificate.new_public)
                        connected = True
                        break
        self.waiting = [c for c in self.waiting if not self._is_spent(c)]

    def _is_spent(self, certificate: KeyCertificate) -> bool:
        """Return whether a certificate is used up, or can never be used."""
        return any(
            certificate.position < len(chain)
            and chain[certificate.position - 1] == certificate.old_public
            for chain in self.chains
        )


def _connects(chain: Sequence[bytes], certificate: KeyCertificate) -> bool:
    if certificate.position != len(chain) or certificate.old_public != chain[-1]:
        return False
    if certificate.new_public in chain:
        return False
    message = encode_certificates([certificate])[:-SIGNATURE_BYTES]
    try:
        check_signature(
            certificate.old_public, message, certificate.signature, subject="key certificate"
        )
    except SignatureError:
        return False
    return True
