"""Blocks give back exactly the records that went in, and survive any bytes."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linewatch_core.details import Detail, HttpDetail
from linewatch_core.errors import LimitError, MalformedError
from linewatch_core.judging import Hold, VerdictSettings
from linewatch_core.records import (
    Check,
    ConfigApplied,
    EvBody,
    LineChanged,
    LineKind,
    Record,
    Role,
    Sample,
    TargetNote,
)
from linewatch_core.segment.codec import (
    DEFAULT_LIMITS,
    EvTable,
    decode_block,
    encode_block,
    mono_range_ms,
)
from linewatch_core.segment.packing import DICTIONARY, pack
from linewatch_core.segment.raw_block import pack_samples
from tests.support.check_records import check_samples
from tests.support.record_strategies import blocks
from tests.support.records import realistic_events, realistic_rolls, realistic_samples

MAKERS = (realistic_samples, realistic_rolls, realistic_events)


@given(blocks())
def test_any_records_round_trip(records: list[Record]) -> None:
    """Records of every kind come back equal, with their seqs."""
    assert decode_block(encode_block(records)) == records


@pytest.mark.parametrize("count", [1, 2, 60, 200, 1000])
def test_realistic_records_round_trip(count: int) -> None:
    """Blocks of every usual size come back equal, for all three streams."""
    for make in MAKERS:
        records = make(count, 7, first_seq=12_345)
        assert decode_block(encode_block(records)) == records


def test_a_sample_of_each_later_check_round_trips() -> None:
    """Every kind of check but the first three, and every kind of detail, comes back equal."""
    records = check_samples(first_seq=12_345)
    assert decode_block(encode_block(records)) == records
    samples = [record.body for record in records if isinstance(record.body, Sample)]
    first = {Check.ICMP, Check.TCP, Check.DNS}
    assert {sample.check for sample in samples} == set(Check) - first
    assert {type(sample.detail) for sample in samples} >= set(get_args(Detail))


def test_a_hold_of_no_round_is_malformed() -> None:
    """A value that a record's own type refuses is bad bytes, and no crash."""
    config = ["config", 1, "ab", 30_000, [], [[0, 3, 0]]]
    with pytest.raises(MalformedError, match="less than one round"):
        decode_block(pack(1, [1, [config]]))
    config[-1] = [[1, 3, 0]]
    (record,) = decode_block(pack(1, [1, [config]]))
    assert isinstance(record.body, ConfigApplied)
    assert record.body.settings == VerdictSettings(hold=Hold(1, 3, 0))


@pytest.mark.parametrize(
    ("array", "body"),
    [
        (
            ["line", 5, "modem-1", "mobile", True, [4], ["no_dns"]],
            LineChanged(5, "modem-1", LineKind.MOBILE, True, (4,), ("no_dns",), None),
        ),
        (
            ["config", 5, "ab", 30_000, [["bank", "domestic", ["tcp"]]]],
            ConfigApplied(
                5, "ab", 30_000, (TargetNote("bank", Role.DOMESTIC, (Check.TCP,)),), None
            ),
        ),
    ],
)
def test_a_body_without_the_appended_fields_takes_their_defaults(
    array: list[object], body: EvBody
) -> None:
    """What an earlier release wrote is read as it was meant."""
    assert decode_block(pack(1, [1, [array]])) == [Record(1, body)]


def test_an_http_detail_without_the_appended_hash_takes_none() -> None:
    """The packed form of an earlier release, five fields long, is read as it was meant."""
    page = HttpDetail(200, 9, "6f1ed002ab559585", None, "a3c1f0e2d4b59687")
    body = check_samples()[-1].body
    assert isinstance(body, Sample)
    sample = msgspec.structs.replace(body, detail=page)
    table, tail = pack_samples(1, [sample])
    array = msgspec.to_builtins(table, builtin_types=(bytes,))
    (packed,) = array[7]
    assert packed.pop() is None
    assert len(packed) == 6
    assert decode_block(pack(3, array, tail)) == [Record(1, sample)]


@given(st.sampled_from([1, 2, 3]), st.binary(max_size=80))
@example(0, b"")
@example(9, b"whatever")
def test_noise_is_malformed(kind: int, data: bytes) -> None:
    """Random bytes after a kind byte raise MalformedError only."""
    with pytest.raises(MalformedError, match="cannot read block"):
        decode_block(bytes([kind]) + data)


@given(st.sampled_from(MAKERS), st.integers(0, 10**9), st.integers(0, 255))
def test_a_damaged_table_gives_records_or_malformed(
    make: Callable[[int, int], list[Record]], place: int, byte: int
) -> None:
    """A byte changed before compression never raises anything but MalformedError."""
    block = encode_block(make(12, 3))
    stretch = zlib.decompressobj(-15, DICTIONARY)
    plain = bytearray(stretch.decompress(block[1:]))
    plain[place % len(plain)] = byte
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    damaged = squeeze.compress(bytes(plain)) + squeeze.flush()
    try:
        records = decode_block(block[:1] + damaged + stretch.unused_data)
    except MalformedError:
        return
    assert all(isinstance(record, Record) for record in records)


def test_every_truncation_of_a_block_is_told() -> None:
    """No prefix of a block is a block."""
    for make in MAKERS:
        block = encode_block(make(12, 3))
        for length in range(len(block)):
            with pytest.raises(MalformedError):
                decode_block(block[:length])


def test_a_bomb_raises_before_it_unpacks() -> None:
    """A few hundred bytes that inflate to megabytes hit the limit."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    bomb = b"\x03" + squeeze.compress(bytes(4_000_000)) + squeeze.flush()
    assert len(bomb) < 5_000
    with pytest.raises(LimitError, match="above 262144 bytes"):
        decode_block(bomb)


def test_too_many_records_are_beyond_the_limit() -> None:
    """A reader may set its own limit on records."""
    block = encode_block(realistic_rolls(30, 1))
    with pytest.raises(LimitError, match="30 records, the limit is 29"):
        decode_block(block, replace(DEFAULT_LIMITS, records=29))


def test_a_block_of_no_records_is_malformed() -> None:
    """An empty table does not pass for a block."""
    with pytest.raises(MalformedError, match="no record"):
        decode_block(pack(1, EvTable(1, [])))


@pytest.mark.parametrize("first_seq", [0, -1, 2**63 - 1])
def test_impossible_seqs_are_malformed(first_seq: int) -> None:
    """Seqs run from 1 and fit a signed 64-bit column."""
    bodies = [record.body for record in realistic_events(2, 1)]
    with pytest.raises(MalformedError, match="first seq"):
        decode_block(pack(1, EvTable(first_seq, bodies)))  # type: ignore[arg-type]


def test_a_number_beyond_64_bits_is_malformed() -> None:
    """What a database column could not hold is refused here, not there."""
    sample = realistic_samples(1, 1)[0].body
    assert isinstance(sample, Sample)
    late = msgspec.structs.replace(sample, round_ms=2**63 - 1, slot_ms=2**63 - 1, mono_ms=2**63)
    with pytest.raises(MalformedError, match="beyond signed 64 bits"):
        decode_block(pack(3, *pack_samples(1, [late])))


def test_records_that_are_no_block_are_a_callers_bug() -> None:
    """Holes, mixed streams, nothing and seq 0 raise ValueError."""
    samples, rolls = realistic_samples(3, 1), realistic_rolls(3, 1)
    for wrong in ([], [samples[0], samples[2]], [samples[0], rolls[1]], [Record(0, rolls[0].body)]):
        with pytest.raises(ValueError, match="cannot encode"):
            encode_block(wrong)


def test_the_mono_range_spans_all_records() -> None:
    """Checks that end out of order still give the least and the greatest start."""
    records = realistic_samples(60, 2)
    monos = sorted(record.body.mono_ms for record in records)
    assert mono_range_ms(records) == (monos[0], monos[-1])
