"""The sealed body of a segment: boxes for its recipients, then frames up to its end.

A frame's numbers follow from the header and the frames before it, so frames
that overlap, leave a hole or go backwards cannot be written down.
Source: docs/wire-format.md, "Body".
"""

from collections.abc import Sequence

from linewatch_core.segment.header import Header
from linewatch_core.segment.sealing import BOX_BYTES, TAG_BYTES, Frame
from linewatch_core.segment.wire import NUMBER_MAX, Reader, varint


def build_body(boxes: bytes, frames: Sequence[Frame]) -> bytes:
    """Return the body.

    Args:
        boxes: as `split_wraps` returns them.
        frames: at least one; consecutive seqs, ascending counters.
    Raises:
        ValueError: the frames are not so (a caller's bug).
    """
    parts = [boxes]
    next_counter, next_seq = 0, frames[0].first_seq
    for frame in frames:
        if frame.first_seq != next_seq or frame.counter < next_counter:
            raise ValueError(f"cannot put frame of seq {frame.first_seq} after seq {next_seq - 1}")
        parts.append(varint(frame.counter - next_counter))
        parts.append(varint(frame.last_seq - frame.first_seq))
        parts.append(varint(len(frame.ciphertext)))
        parts.append(frame.ciphertext)
        next_counter, next_seq = frame.counter + 1, frame.last_seq + 1
    return b"".join(parts)


def parse_body(body: bytes, header: Header) -> tuple[bytes, tuple[Frame, ...]]:
    """Return the boxes and the frames; raise MalformedError if they do not fit the header."""
    reader = Reader(body, subject="segment body")
    boxes = reader.take(len(header.recipients) * BOX_BYTES, "boxes")
    frames: list[Frame] = []
    next_counter, next_seq = 0, header.first_seq
    while next_seq <= header.last_seq:
        counter = next_counter + reader.varint("frame counter")
        last_seq = next_seq + reader.varint("frame span")
        length = reader.varint("frame length")
        if counter > NUMBER_MAX or length <= TAG_BYTES or last_seq > header.last_seq:
            raise reader.error(f"its frame of seq {next_seq} is out of bounds")
        frames.append(Frame(counter, next_seq, last_seq, reader.take(length, "frame")))
        next_counter, next_seq = counter + 1, last_seq + 1
    reader.end()
    return boxes, tuple(frames)
