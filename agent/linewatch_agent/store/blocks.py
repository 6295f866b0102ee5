"""The open block of one stream: its key in RAM, its records, and the segment it becomes.

No SQL here. The key is never written; its wraps are, beside the first frame.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from linewatch_core.records import Record
from linewatch_core.segment.chain import ChainHead
from linewatch_core.segment.codec import mono_range_ms
from linewatch_core.segment.sealing import (
    BlockSealer,
    Frame,
    FrameContext,
    RecipientKey,
    new_block_key,
)
from linewatch_core.segment.segment import build_segment
from linewatch_core.segment.signing import KEY_BYTES, SigningKey


@dataclass(frozen=True, slots=True)
class SealedFrame:
    """A frame and what the journal notes beside it, in the clear."""

    frame: Frame
    mono_first_ms: int
    mono_last_ms: int


@dataclass(slots=True)
class OpenBlock:
    """Records since the last segment; they stay in RAM until the block closes."""

    context: FrameContext
    began_ms: int
    sealer: BlockSealer
    records: list[Record] = field(default_factory=list)
    frame_bytes: int = 0

    @classmethod
    def begin(
        cls, context: FrameContext, recipients: Sequence[RecipientKey], *, now_ms: int
    ) -> "OpenBlock":
        """Open a block under a fresh key."""
        ephemerals = [secrets.token_bytes(KEY_BYTES) for _ in recipients]
        key = new_block_key(secrets.token_bytes(KEY_BYTES), recipients, ephemerals)
        return cls(context, now_ms, BlockSealer(key, context))

    def seal_frame(self, records: Sequence[Record]) -> SealedFrame:
        """Return the frame that holds `records`; call `accept` once it is committed."""
        return SealedFrame(self.sealer.seal(records), *mono_range_ms(records))

    def accept(self, records: Sequence[Record], sealed: SealedFrame) -> None:
        """Take committed records into the block."""
        self.records.extend(records)
        self.frame_bytes += len(sealed.frame.ciphertext)

    def close(self, head: ChainHead, key: SigningKey) -> bytes:
        """Return the segment of all the block's records, as one frame."""
        return segment_of_frames(
            self.context, self.sealer.wraps, [self.seal_frame(self.records)], head=head, key=key
        )


def segment_of_frames(
    context: FrameContext,
    wraps: bytes,
    frames: Sequence[SealedFrame],
    *,
    head: ChainHead,
    key: SigningKey,
) -> bytes:
    """Return the signed segment of these frames: a closed block's one, or those of a journal
    that a power cut left."""
    return build_segment(
        context,
        wraps,
        [sealed.frame for sealed in frames],
        head=head,
        mono_first_ms=min(sealed.mono_first_ms for sealed in frames),
        mono_last_ms=max(sealed.mono_last_ms for sealed in frames),
        key=key,
    )
