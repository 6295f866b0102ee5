"""Blocks: records of one stream with consecutive numbers, as compact bytes and back.

`encode_block` is deterministic for one zlib; `decode_block` takes any bytes and
returns the records exactly or raises MalformedError. It knows nothing of keys.
Source: docs/wire-format.md, "Block".
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from linewatch_core.errors import LimitError, MalformedError
from linewatch_core.records import Body, EvBody, Record, Roll, Sample, Stream, stream_of
from linewatch_core.segment.packing import Limits, pack, unpack
from linewatch_core.segment.raw_block import RawTable, pack_samples, unpack_samples
from linewatch_core.segment.roll_block import RollTable, pack_rolls, unpack_rolls
from linewatch_core.segment.wire import NUMBER_MAX

DEFAULT_LIMITS = Limits()
_LEAST = -NUMBER_MAX - 1

STREAM_CODES = {Stream.EV: 1, Stream.ROLL: 2, Stream.RAW: 3}
"""How a stream is written: a block's kind byte and a segment header's stream byte."""


class EvTable(msgspec.Struct, array_like=True):
    """The deflated part of an ev block: there is no tail."""

    first_seq: int
    bodies: list[EvBody]


def encode_block(records: Sequence[Record]) -> bytes:
    """Return the block that holds `records`.

    Args:
        records: 1 to 4096, of one stream, seqs consecutive from 1 or more; every
            integer in them fits a signed 64-bit number.
    Raises:
        ValueError: the records are not so (a caller's bug).
    """
    _check_block(records)
    first_seq = records[0].seq
    samples = [r.body for r in records if isinstance(r.body, Sample)]
    rolls = [r.body for r in records if isinstance(r.body, Roll)]
    if samples:
        return pack(STREAM_CODES[Stream.RAW], *pack_samples(first_seq, samples))
    if rolls:
        return pack(STREAM_CODES[Stream.ROLL], *pack_rolls(first_seq, rolls))
    events = [r.body for r in records if not isinstance(r.body, Sample | Roll)]
    return pack(STREAM_CODES[Stream.EV], EvTable(first_seq, events))


def decode_block(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Record]:
    """Return the records of a block, in seq order; there is at least one.

    Raises:
        LimitError: the block unpacks to more than `limits` allow.
        MalformedError: the bytes are not a block.
    """
    if not data:
        raise MalformedError("cannot read block: it is empty")
    first_seq, bodies = _decode_bodies(data, limits)
    if not bodies:
        raise MalformedError("cannot read block: it holds no record")
    if not 1 <= first_seq <= NUMBER_MAX - len(bodies):
        raise MalformedError(f"cannot read block: its first seq is {first_seq}")
    if not _numbers_fit(bodies):
        raise MalformedError("cannot read block: a number is beyond signed 64 bits")
    return [Record(first_seq + place, body) for place, body in enumerate(bodies)]


def mono_range_ms(records: Sequence[Record]) -> tuple[int, int]:
    """Return the least and the greatest `mono_ms` of at least one record.

    A store keeps it beside each frame: after a power cut it cannot read the frame.
    """
    monos_ms = [record.body.mono_ms for record in records]
    return min(monos_ms), max(monos_ms)


def _decode_bodies(
    data: bytes, limits: Limits
) -> tuple[int, Sequence[Sample] | Sequence[Roll] | Sequence[EvBody]]:
    if data[0] == STREAM_CODES[Stream.RAW]:
        raw, tail = unpack(data, RawTable, limits)
        _check_count(len(raw.series_ranks), limits)
        return raw.first_seq, unpack_samples(raw, tail)
    if data[0] == STREAM_CODES[Stream.ROLL]:
        roll, tail = unpack(data, RollTable, limits)
        _check_count(len(roll.series_ranks), limits)
        return roll.first_seq, unpack_rolls(roll, tail)
    if data[0] == STREAM_CODES[Stream.EV]:
        events, tail = unpack(data, EvTable, limits)
        _check_count(len(events.bodies), limits)
        if tail:
            raise MalformedError(f"cannot read block: {len(tail)} bytes follow its table")
        return events.first_seq, events.bodies
    raise MalformedError(f"cannot read block: its kind is {data[0]}, known are 1, 2 and 3")


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.records:
        raise LimitError(f"cannot read block: {count} records, the limit is {limits.records}")


def _check_block(records: Sequence[Record]) -> None:
    if not 1 <= len(records) <= DEFAULT_LIMITS.records:
        raise ValueError(
            f"cannot encode {len(records)} records: a block holds 1 to {DEFAULT_LIMITS.records}"
        )
    first_seq = records[0].seq
    if not 1 <= first_seq <= NUMBER_MAX - len(records):
        raise ValueError(f"cannot encode a block from seq {first_seq}")
    if any(record.seq != first_seq + place for place, record in enumerate(records)):
        raise ValueError("cannot encode records whose seqs are not consecutive")
    if len({stream_of(record.body) for record in records}) > 1:
        raise ValueError("cannot encode records of different streams in one block")
    if not _numbers_fit([record.body for record in records]):
        raise ValueError("cannot encode a number beyond signed 64 bits")


def _numbers_fit(bodies: Sequence[Body]) -> bool:
    """Return whether every integer within bodies fits a signed 64-bit column."""
    # Samples are nearly all records, and few of their details differ: looking into each field
    # of each one took a third of the time of packing them.
    details = {body.detail for body in bodies if isinstance(body, Sample)}
    return _all_fit(details) and all(_FITS.get(type(body), _fits)(body) for body in bodies)


def _sample_fits(sample: Sample) -> bool:
    """Return whether the integers of a sample fit, but for those of its detail."""
    rtt_us = sample.rtt_us
    return (
        _LEAST <= sample.mono_ms <= NUMBER_MAX
        and _LEAST <= sample.slot_ms <= NUMBER_MAX
        and _LEAST <= sample.round_ms <= NUMBER_MAX
        and _LEAST <= sample.family <= NUMBER_MAX
        and (rtt_us is None or _LEAST <= rtt_us <= NUMBER_MAX)
        and (not sample.timings_us or _all_fit(sample.timings_us))
    )


def _roll_fits(roll: Roll) -> bool:
    numbers = (roll.mono_ms, roll.window, roll.sent, roll.answered, *roll.failures.values())
    times = (roll.rtt_min_us or 0, roll.rtt_median_us or 0, roll.rtt_p95_us or 0)
    return min(*numbers, *times) >= _LEAST and max(*numbers, *times) <= NUMBER_MAX


_FITS: dict[type, Callable[[Any], bool]] = {Sample: _sample_fits, Roll: _roll_fits}
"""What looks into the common bodies; `_fits` looks into any."""


def _fits(value: object) -> bool:
    if isinstance(value, int):
        return _LEAST <= value <= NUMBER_MAX
    if isinstance(value, msgspec.Struct):
        return _all_fit(getattr(value, name) for name in value.__struct_fields__)
    if isinstance(value, tuple):
        return _all_fit(value)
    if isinstance(value, dict):
        return _all_fit(value.values())
    return True


def _all_fit(values: Iterable[object]) -> bool:
    return all(_fits(value) for value in values)
