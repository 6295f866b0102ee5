"""Opens segments with the recipient keys that this server holds, if it holds any.

The only place of the server that touches recipient keys; it never writes one
down. A server without a key stores, acknowledges and relays all the same.
"""

from collections.abc import Sequence

from nacl.public import PrivateKey

from linewatch_core.records import Record
from linewatch_core.segment.segment import Segment, open_segment
from linewatch_core.segment.signing import key_id


class Opener:
    """Opens segments that are sealed to one of its keys."""

    def __init__(self, recipient_secrets: Sequence[bytes] = ()) -> None:
        """Take X25519 private keys of 32 bytes each; none is fine."""
        self._secrets = {
            key_id(bytes(PrivateKey(secret).public_key)): secret for secret in recipient_secrets
        }

    def open(self, segment: Segment) -> list[Record] | None:
        """Return a segment's records, or None if it is sealed to others.

        Raises:
            DecryptionError, MalformedError: it is sealed to a key held here, but
                does not open or does not hold what its header says.
        """
        for recipient in segment.header.recipients:
            secret = self._secrets.get(recipient)
            if secret is not None:
                return open_segment(segment, secret)
        return None

    def __repr__(self) -> str:
        return f"Opener({', '.join(self._secrets)})"
