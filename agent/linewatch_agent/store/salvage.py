"""Gets out of a store that was set aside what the damage left whole. Changes nothing in it.

Segments vouch for themselves: their hash, and the signature of one of this
probe's keys. The frames of a block that was still open are sealed with the
present key, if they go on exactly where the chain ends; what becomes of them is
kept beside the damaged file, so that it is signed only once.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from linewatch_agent.durable import write_whole
from linewatch_agent.store.blocks import SealedFrame, segments_of_journal
from linewatch_agent.store.database import PAGE_BYTES
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.pages import Pages, Row
from linewatch_core.errors import LinewatchError
from linewatch_core.ids import Epoch, ProbeId, parse_boot_id, parse_epoch
from linewatch_core.records import Stream
from linewatch_core.segment.chain import CHAIN_START, head_after
from linewatch_core.segment.header import Header, check_header_signature, parse_header
from linewatch_core.segment.parcel import encode_parcel, read_parcel
from linewatch_core.segment.sealing import Frame, FrameContext
from linewatch_core.segment.segment import parse_segment

OPEN_BLOCKS_SUFFIX = ".open-blocks"
_SEGMENT_COLUMNS, _FRAME_COLUMNS, _VALUE_COLUMNS = 7, 8, 2


@dataclass(slots=True)
class _Found:
    """What a damaged store still tells of one stream's chain."""

    newest: Header | None = None
    block: tuple[str, bytes] | None = None
    frames: dict[int, SealedFrame] = field(default_factory=dict)
    """By their first number."""


def salvage(path: Path, *, probe: ProbeId, keys: SigningKeys) -> Iterator[bytes]:
    """Yield each whole segment of a damaged store once, then those of its open blocks.

    Raises:
        OSError: the file can't be read.
    """
    return (one for one in salvage_by_steps(path, probe=probe, keys=keys) if one is not None)


def salvage_by_steps(path: Path, *, probe: ProbeId, keys: SigningKeys) -> Iterator[bytes | None]:
    """Do as `salvage`; None comes now and then, so that nobody waits for long.

    Raises:
        OSError: the file can't be read.
    """
    publics = keys.publics()
    streams = {stream: _Found() for stream in Stream}
    epoch: Epoch | None = None
    again: set[int] | None = None
    seen: set[bytes] = set()
    # The WAL first: it has the newest; but where it is damaged, the page below may be whole.
    for with_wal in (True, False):
        pages = Pages(path, page_bytes=PAGE_BYTES, with_wal=with_wal)
        with contextlib.closing(pages):
            doubtful = pages.newer() if with_wal else set()
            page, on_page = 0, set[bytes]()
            for row in pages.rows(of_tables=True, only=again):
                if row is None:
                    yield None
                    continue
                if pages.at != page:
                    if page in doubtful or page in pages.doubtful:
                        seen |= on_page
                    page = pages.at
                    on_page.clear()
                header = _vouched(row, probe, publics)
                if header is not None:
                    _note_newest(streams[header.stream], header)
                    epoch = header.epoch
                    data = _segment(row)
                    if data is None:
                        doubtful.add(pages.at)
                    elif header.signature not in seen:
                        on_page.add(header.signature)
                        yield data
                elif with_wal:
                    _note_frame(streams, row)
                    _note_block(streams, row)
            seen |= on_page
            if with_wal:
                for row in pages.rows(of_tables=False):
                    epoch = epoch or (_told_epoch(row) if row else None)
            again = doubtful | pages.doubtful
    if epoch is not None:
        yield from _open_blocks(path, streams, keys, probe=probe, epoch=epoch)


def _vouched(row: Row, probe: ProbeId, publics: dict[str, bytes]) -> Header | None:
    """Return the header of a segment's row if this probe signed it."""
    if len(row) != _SEGMENT_COLUMNS or not isinstance(row[4], bytes):
        return None
    try:
        header = parse_header(row[4])
        if header.probe != probe or header.signer not in publics:
            return None
        check_header_signature(header, publics[header.signer])
    except LinewatchError:
        return None
    return header


def _segment(row: Row) -> bytes | None:
    """Return a segment that is whole; None for one that was thinned or is damaged."""
    header, body = row[4], row[5]
    if not isinstance(header, bytes) or not isinstance(body, bytes):
        return None
    try:
        return parse_segment(header + body).raw
    except LinewatchError:
        return None


def _note_newest(found: _Found, header: Header) -> None:
    if found.newest is None or header.position > found.newest.position:
        found.newest = header


def _note_frame(streams: dict[Stream, _Found], row: Row) -> None:
    if len(row) != _FRAME_COLUMNS:
        return
    _, stream, counter, first, last, mono_first, mono_last, data = row
    numbers = (counter, first, last, mono_first, mono_last)
    if (
        stream in set(Stream)
        and isinstance(data, bytes)
        and all(isinstance(n, int) for n in numbers)
    ):
        frame = Frame(int(counter or 0), int(first or 0), int(last or 0), data)
        sealed = SealedFrame(frame, int(mono_first or 0), int(mono_last or 0))
        streams[Stream(str(stream))].frames[frame.first_seq] = sealed


def _note_block(streams: dict[Stream, _Found], row: Row) -> None:
    """Note the open block of a stream if this is the row that keeps it."""
    if len(row) != _VALUE_COLUMNS or not isinstance(row[1], bytes):
        return
    for stream, found in streams.items():
        if row[0] == f"block.{stream}":
            with contextlib.suppress(msgspec.MsgspecError):
                found.block = msgspec.msgpack.decode(row[1], type=tuple[str, bytes])


def _told_epoch(row: Row) -> Epoch | None:
    """Return the epoch if this is the row that names it."""
    if len(row) != _VALUE_COLUMNS or row[0] != "epoch":
        return None
    try:
        return parse_epoch(str(row[1]))
    except LinewatchError:
        return None


def _open_blocks(
    path: Path, streams: dict[Stream, _Found], keys: SigningKeys, *, probe: ProbeId, epoch: Epoch
) -> Iterable[bytes]:
    """Return the segments of blocks that were never closed; signed the first time only."""
    kept = path.with_name(path.name + OPEN_BLOCKS_SUFFIX)
    if kept.exists():
        parcel = read_parcel(kept.read_bytes())
        if parcel.damage is None:
            return parcel.items
    made: list[bytes] = []
    for stream, found in streams.items():
        if found.block is None:
            continue
        boot, wraps = found.block
        with contextlib.suppress(LinewatchError, ValueError):
            context = FrameContext(probe, epoch, stream, parse_boot_id(boot))
            made += _closed(context, wraps, found, keys)
    if made:
        write_whole(kept, encode_parcel(made))
    return made


def _closed(context: FrameContext, wraps: bytes, found: _Found, keys: SigningKeys) -> list[bytes]:
    head = CHAIN_START if found.newest is None else head_after(found.newest)
    frames = _run(found.frames, head.next_seq)
    if not frames:
        return []
    return segments_of_journal(context, wraps, frames, head=head, key=keys.current)


def _run(frames: dict[int, SealedFrame], first_seq: int) -> list[SealedFrame]:
    """Return the frames from `first_seq` on, up to the first that is missing."""
    run: list[SealedFrame] = []
    while (sealed := frames.get(first_seq)) is not None and sealed.frame.last_seq >= first_seq:
        run.append(sealed)
        first_seq = sealed.frame.last_seq + 1
    return run
