"""A whole segment: signed header and sealed body, built and read.

Reading is in three steps, each of which may be all that a reader can do:
`parse_segment` (structure and body hash), `verify_signature` (needs the
probe's public key), `open_segment` (needs a recipient's private key).
Source: docs/wire-format.md, "Segments".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_core.errors import LimitError, MalformedError
from linewatch_core.records import Record, stream_of
from linewatch_core.segment.body import build_body, parse_body
from linewatch_core.segment.chain import ChainHead
from linewatch_core.segment.codec import DEFAULT_LIMITS, decode_block, mono_range_ms
from linewatch_core.segment.header import (
    Header,
    check_header_signature,
    encode_header,
    sign_header,
    take_header,
)
from linewatch_core.segment.packing import Limits
from linewatch_core.segment.sealing import (
    Frame,
    FrameContext,
    open_frame,
    split_wraps,
    unwrap_block_key,
)
from linewatch_core.segment.signing import SigningKey
from linewatch_core.segment.wire import Reader

SEGMENT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment whose structure and body hash are right; its signature may not be.

    Attributes:
        header: what it says in the clear.
        boxes: the block key, sealed to each of the header's recipients.
        frames: the sealed records.
        raw: all bytes, exactly as they came.
        header_bytes: how many of `raw` are the header.
    """

    header: Header
    boxes: bytes
    frames: tuple[Frame, ...]
    raw: bytes
    header_bytes: int

    @property
    def context(self) -> FrameContext:
        """What its frames are bound to."""
        header = self.header
        return FrameContext(header.probe, header.epoch, header.stream, header.boot)


def build_segment(
    context: FrameContext,
    wraps: bytes,
    frames: Sequence[Frame],
    *,
    head: ChainHead,
    mono_first_ms: int,
    mono_last_ms: int,
    key: SigningKey,
) -> bytes:
    """Return a signed segment: one frame of a closed block, or a journal's leftover frames.

    Args:
        wraps: of the block key under which the frames are sealed.
        frames: at least one; consecutive from `head.next_seq`, ascending counters.
        head: the end of the chain so far.
        mono_first_ms, mono_last_ms: of all the frames' records, see `mono_range_ms`.
    Raises:
        LimitError: the segment would be above 64 KiB; use fewer frames.
        MalformedError: `wraps` is damaged.
        ValueError: the frames do not fit each other or the head (a caller's bug).
    """
    if not frames or frames[0].first_seq != head.next_seq:
        raise ValueError(f"cannot build a segment: its frames must begin at seq {head.next_seq}")
    recipients, boxes = split_wraps(wraps)
    body = build_body(boxes, frames)
    header = Header(
        probe=context.probe,
        epoch=context.epoch,
        stream=context.stream,
        boot=context.boot,
        position=head.next_position,
        first_seq=frames[0].first_seq,
        last_seq=frames[-1].last_seq,
        mono_first_ms=mono_first_ms,
        mono_last_ms=mono_last_ms,
        previous_sha256=head.previous_sha256,
        body_sha256=hashlib.sha256(body).digest(),
        recipients=recipients,
        signer=key.id,
    )
    raw = encode_header(sign_header(header, key)) + body
    if len(raw) > SEGMENT_BYTES_MAX:
        raise LimitError(
            f"cannot build a segment of {len(raw)} bytes: the limit is {SEGMENT_BYTES_MAX}; "
            "split its frames over several"
        )
    return raw


def parse_segment(data: bytes) -> Segment:
    """Return the segment that is exactly `data`; the signature is not checked here.

    Raises:
        LimitError: it is above 64 KiB.
        UnsupportedVersionError: another version wrote it.
        MalformedError: it is not a segment, or its body is not the one that was signed.
    """
    if len(data) > SEGMENT_BYTES_MAX:
        raise LimitError(
            f"cannot read segment of {len(data)} bytes: the limit is {SEGMENT_BYTES_MAX}"
        )
    reader = Reader(data, subject="segment header")
    header = take_header(reader)
    body = data[reader.at :]
    if hashlib.sha256(body).digest() != header.body_sha256:
        raise MalformedError("cannot read segment body: it does not have the hash in the header")
    boxes, frames = parse_body(body, header)
    return Segment(header, boxes, frames, data, reader.at)


def verify_signature(signed: Segment | Header, public_key: bytes) -> None:
    """Raise SignatureError unless `public_key` (32 bytes) signed this segment or header."""
    header = signed.header if isinstance(signed, Segment) else signed
    check_header_signature(header, public_key)


def open_segment(
    segment: Segment, recipient_secret: bytes, *, limits: Limits = DEFAULT_LIMITS
) -> list[Record]:
    """Return the records of a segment, in seq order. Verify its signature first.

    Raises:
        UnknownKeyError: it is not sealed to this key.
        DecryptionError: a box or frame was altered, moved, or sealed under another key.
        MalformedError, LimitError: what was sealed is not what the header says.
    """
    secret = unwrap_block_key(segment.header.recipients, segment.boxes, recipient_secret)
    return open_with_block_key(segment, secret, limits=limits)


def open_with_block_key(
    segment: Segment, secret: bytes, *, limits: Limits = DEFAULT_LIMITS
) -> list[Record]:
    """Return the records by the block's own key, which opens this segment and no other.

    Errors as of `open_segment`.
    """
    records: list[Record] = []
    for frame in segment.frames:
        found = decode_block(open_frame(secret, segment.context, frame), limits)
        if (found[0].seq, found[-1].seq) != (frame.first_seq, frame.last_seq):
            raise MalformedError(
                f"cannot open segment: the frame of seqs {frame.first_seq} to {frame.last_seq} "
                f"holds {found[0].seq} to {found[-1].seq}"
            )
        records += found
    header = segment.header
    if any(stream_of(record.body) is not header.stream for record in records):
        raise MalformedError(f"cannot open segment: it holds records that are not {header.stream}")
    first_ms, last_ms = mono_range_ms(records)
    if first_ms < header.mono_first_ms or last_ms > header.mono_last_ms:
        raise MalformedError("cannot open segment: it holds records from outside its mono range")
    return records
