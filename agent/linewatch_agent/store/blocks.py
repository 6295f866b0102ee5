"""The open block of one stream: its key in RAM, its records, and the segments they become.

No SQL here. The key is never written; its wraps are, beside the first frame.
Records are cut so that each frame and each segment stays within the format's
limits, however large a hostile answer was, and events so that their segments are small.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from linewatch_core.records import Record, Stream
from linewatch_core.segment.chain import ChainHead, head_after
from linewatch_core.segment.codec import encode_block, mono_range_ms
from linewatch_core.segment.sealing import (
    BlockSealer,
    Frame,
    FrameContext,
    RecipientKey,
    new_block_key,
)
from linewatch_core.segment.segment import SEGMENT_BYTES_MAX, build_segment, parse_segment
from linewatch_core.segment.signing import KEY_BYTES, SigningKey

PLAIN_BYTES_MAX = 48 * 1024
"""Records whose plain msgpack is within this surely fit one segment (compressed or not)."""
FRAMES_BYTES_MAX = SEGMENT_BYTES_MAX - 4 * 1024
"""What the frames of one segment may take: the rest is for its header and 16 boxes."""
FRAME_HEAD_BYTES = 28
"""A frame's own numbers in a body, at most."""
RECORDS_MAX = 2048
"""Records of one frame; a reader stops at twice as many."""
EV_SEGMENT_BYTES = 2048
"""Of events, unless one alone is larger: what happened is the first that passes a line which
is back, and may be the last (docs/wire-format.md, "A connection")."""
SEGMENT_HEAD_BYTES = 258
"""Of a segment of one frame what is neither block nor for a recipient, at most."""


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
    recipients: Sequence[RecipientKey]
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
        return cls(context, recipients, now_ms, BlockSealer(key, context))

    def seal_frames(self, records: Sequence[Record]) -> list[SealedFrame]:
        """Return the frames that hold `records`; call `accept` once they are committed.

        Raises:
            ValueError: one record alone is above the limit of a segment (a caller's bug:
                checks bound what they keep of an answer).
        """
        return [self._seal(part) for part in self._cut(records)]

    def accept(self, records: Sequence[Record], sealed: Sequence[SealedFrame]) -> None:
        """Take committed records into the block."""
        self.records.extend(records)
        self.frame_bytes += sum(len(one.frame.ciphertext) for one in sealed)

    def close(
        self, head: ChainHead, key: SigningKey, *, more: Sequence[Record] = ()
    ) -> list[bytes]:
        """Return the segments of all the block's records, and of `more` behind them: one, unless
        the records are huge.

        Each has a block key of its own, so that opening one to somebody opens no other.
        """
        segments: list[bytes] = []
        block = self
        for part in self._cut([*self.records, *more]):
            if segments:
                block = OpenBlock.begin(self.context, self.recipients, now_ms=self.began_ms)
            segments.append(
                _segment(self.context, block.sealer.wraps, [block._seal(part)], head, key)
            )
            head = head_after(parse_segment(segments[-1]).header)
        return segments

    def _cut(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        for part in _parts(records):
            if self.context.stream is Stream.EV:
                yield from _halves(part, _ev_bytes_max(self.sealer.wraps))
            else:
                yield part

    def _seal(self, records: Sequence[Record]) -> SealedFrame:
        frame = self.sealer.seal(records)
        if len(frame.ciphertext) + FRAME_HEAD_BYTES > FRAMES_BYTES_MAX:
            raise ValueError(
                f"cannot store record {records[0].seq}: sealed it is {len(frame.ciphertext)} bytes"
            )
        return SealedFrame(frame, *mono_range_ms(records))


def segments_of_journal(
    context: FrameContext,
    wraps: bytes,
    frames: Sequence[SealedFrame],
    *,
    head: ChainHead,
    key: SigningKey,
) -> list[bytes]:
    """Return the segments of the frames that a power cut left, as they are.

    Raises:
        MalformedError, ValueError: the frames or wraps are not what was written.
    """
    segments = []
    bytes_max = _ev_bytes_max(wraps) if context.stream is Stream.EV else FRAMES_BYTES_MAX
    for part in _within(frames, bytes_max):
        segments.append(_segment(context, wraps, part, head, key))
        head = head_after(parse_segment(segments[-1]).header)
    return segments


def _segment(
    context: FrameContext,
    wraps: bytes,
    frames: Sequence[SealedFrame],
    head: ChainHead,
    key: SigningKey,
) -> bytes:
    return build_segment(
        context,
        wraps,
        [sealed.frame for sealed in frames],
        head=head,
        mono_first_ms=min(sealed.mono_first_ms for sealed in frames),
        mono_last_ms=max(sealed.mono_last_ms for sealed in frames),
        key=key,
    )


def _parts(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut records into runs that each fit one frame and one segment."""
    if 0 < len(records) <= RECORDS_MAX and len(msgspec.msgpack.encode(records)) < PLAIN_BYTES_MAX:
        yield list(records)
        return
    part: list[Record] = []
    size = 0
    for record in records:
        more = len(msgspec.msgpack.encode(record))
        if part and (size + more > PLAIN_BYTES_MAX or len(part) >= RECORDS_MAX):
            yield part
            part, size = [], 0
        part.append(record)
        size += more
    yield part


def _ev_bytes_max(wraps: bytes) -> int:
    """Return how large the block of a segment of events may be, or its frames together."""
    return EV_SEGMENT_BYTES - SEGMENT_HEAD_BYTES - len(wraps)


def _halves(records: Sequence[Record], bytes_max: int) -> Iterator[Sequence[Record]]:
    """Cut records into runs of which each makes a block of so many bytes, or is one record."""
    if len(records) > 1 and len(encode_block(records)) > bytes_max:
        half = len(records) // 2
        yield from _halves(records[:half], bytes_max)
        yield from _halves(records[half:], bytes_max)
    else:
        yield records


def _within(frames: Sequence[SealedFrame], bytes_max: int) -> Iterator[list[SealedFrame]]:
    """Cut a journal's frames into runs that each fit one segment."""
    part: list[SealedFrame] = []
    size = 0
    for sealed in frames:
        more = len(sealed.frame.ciphertext) + FRAME_HEAD_BYTES
        if part and size + more > bytes_max:
            yield part
            part, size = [], 0
        part.append(sealed)
        size += more
    yield part
