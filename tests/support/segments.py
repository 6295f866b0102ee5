"""Keys and segments for tests: everything derived from a label, nothing random."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import nacl.public

from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_from_random
from linewatch_core.records import Record, Stream, stream_of
from linewatch_core.segment.chain import CHAIN_START, ChainHead, head_after
from linewatch_core.segment.codec import mono_range_ms
from linewatch_core.segment.sealing import (
    BlockKey,
    BlockSealer,
    FrameContext,
    RecipientKey,
    new_block_key,
)
from linewatch_core.segment.segment import build_segment, parse_segment
from linewatch_core.segment.signing import SigningKey


def derived_bytes(label: str, count: int = 32) -> bytes:
    """Return up to 64 bytes that stand for the random bytes of `label`."""
    return hashlib.blake2b(label.encode(), digest_size=count).digest()


def recipient_secret(label: str) -> bytes:
    """Return the private X25519 key of a recipient."""
    return derived_bytes(f"recipient {label}")


def recipient(label: str) -> RecipientKey:
    """Return the public half of `recipient_secret`."""
    return RecipientKey(bytes(nacl.public.PrivateKey(recipient_secret(label)).public_key))


def signing_key(label: str = "today") -> SigningKey:
    """Return a probe's signing key."""
    return SigningKey(derived_bytes(f"signer {label}"))


def block_key(label: str, recipients: Sequence[str] = ("fleet",)) -> BlockKey:
    """Return a block key, wrapped to the recipients of those labels."""
    return new_block_key(
        derived_bytes(f"block {label}"),
        [recipient(name) for name in recipients],
        [derived_bytes(f"ephemeral {label} {name}") for name in recipients],
    )


PROBE: ProbeId = probe_id_from_random(derived_bytes("probe", 10))
EPOCH = Epoch(derived_bytes("epoch", 8).hex())
BOOT = BootId(derived_bytes("boot", 16).hex())


def context(stream: Stream = Stream.RAW) -> FrameContext:
    """Return the context of the one probe, epoch and boot of the tests."""
    return FrameContext(PROBE, EPOCH, stream, BOOT)


@dataclass(slots=True)
class ChainBuilder:
    """Builds one stream's segments in order, each under a block key of its own."""

    recipients: Sequence[str] = ("fleet",)
    key: SigningKey = field(default_factory=signing_key)
    head: ChainHead = CHAIN_START

    def close(self, *commits: Sequence[Record]) -> bytes:
        """Return the next segment; each argument becomes one frame."""
        stream = stream_of(commits[0][0].body)
        own_key = block_key(f"{stream} {self.head.next_position}", self.recipients)
        sealer = BlockSealer(own_key, context(stream))
        frames = [sealer.seal(records) for records in commits]
        first_ms, last_ms = mono_range_ms([record for records in commits for record in records])
        raw = build_segment(
            context(stream),
            sealer.wraps,
            frames,
            head=self.head,
            mono_first_ms=first_ms,
            mono_last_ms=last_ms,
            key=self.key,
        )
        self.head = head_after(parse_segment(raw).header)
        return raw
