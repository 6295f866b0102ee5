"""Whole segments: sealed, signed, read back, and told apart from anything altered."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import (
    DecryptionError,
    LimitError,
    LinewatchError,
    MalformedError,
    SignatureError,
    UnknownKeyError,
)
from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.records import Record, Stream
from linewatch_core.segment.body import build_body
from linewatch_core.segment.chain import CHAIN_START, ChainHead
from linewatch_core.segment.codec import decode_block, encode_block
from linewatch_core.segment.header import encode_header, parse_header
from linewatch_core.segment.sealing import (
    BlockSealer,
    Frame,
    RecipientKey,
    new_block_key,
    seal_frame,
    split_wraps,
)
from linewatch_core.segment.segment import (
    SEGMENT_BYTES_MAX,
    Segment,
    build_segment,
    open_segment,
    open_with_block_key,
    parse_segment,
    verify_signature,
)
from tests.support.record_strategies import blocks
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import (
    ChainBuilder,
    block_key,
    context,
    derived_bytes,
    recipient,
    recipient_secret,
    signing_key,
)

FLEET = recipient_secret("fleet")
PUBLIC = signing_key().public


def read_fully(raw: bytes) -> list[Record]:
    """Return the records of a segment after every check that a reader makes."""
    segment = parse_segment(raw)
    verify_signature(segment, PUBLIC)
    return open_segment(segment, FLEET)


@given(blocks())
def test_any_records_survive_sealing_and_signing(records: list[Record]) -> None:
    """What goes into a segment comes out of it, for every kind of record."""
    sealer = BlockSealer(block_key("any"), context(sealed_stream(records)))
    frame = sealer.seal(records)
    raw = build_segment(
        context(sealed_stream(records)),
        sealer.wraps,
        [frame],
        head=ChainHead(9, derived_bytes("before"), records[0].seq),
        mono_first_ms=0,
        mono_last_ms=2**62,
        key=signing_key(),
    )
    if min(record.body.mono_ms for record in records) < 0:
        with pytest.raises(MalformedError, match="mono range"):
            read_fully(raw)
    else:
        assert read_fully(raw) == records


def sealed_stream(records: list[Record]) -> Stream:
    """Return the stream of records that share one."""
    return {1: Stream.EV, 2: Stream.ROLL, 3: Stream.RAW}[encode_block(records)[0]]


def test_two_hundred_samples_take_at_most_six_bytes_each() -> None:
    """The size bar, sealed and signed, header and all, in the middle of a long chain.

    Over twenty seeds of noise; the noisiest single segment is let exceed it by ten bytes.
    """
    sizes = []
    for seed in range(20):
        records = realistic_samples(200, seed, first_seq=77_401)
        raw = ChainBuilder(head=ChainHead(388, derived_bytes("before"), 77_401)).close(records)
        assert read_fully(raw) == records
        sizes.append(len(raw))
    assert sum(sizes) / len(sizes) <= 6 * 200
    assert max(sizes) <= 6 * 200 + 10


def test_every_recipient_can_open_and_nobody_else() -> None:
    """Two recipients read the same records; a third is told that none is for him."""
    records = realistic_samples(12, 1)
    segment = parse_segment(ChainBuilder(recipients=("fleet", "archive")).close(records))
    for name in ("fleet", "archive"):
        assert open_segment(segment, recipient_secret(name)) == records
    with pytest.raises(UnknownKeyError, match="cannot open segment: it is sealed to"):
        open_segment(segment, recipient_secret("stranger"))


def test_frames_left_by_a_power_cut_make_a_segment() -> None:
    """A journal's frames, sealed commit by commit, open as one run of records."""
    records = realistic_samples(130, 4)
    raw = ChainBuilder().close(records[:60], records[60:61], records[61:])
    assert len(parse_segment(raw).frames) == 3
    assert read_fully(raw) == records


def test_a_closed_block_takes_the_next_counter_of_its_journal() -> None:
    """The whole block is one more frame under the same key, never a nonce again."""
    records = realistic_samples(30, 4)
    sealer = BlockSealer(block_key("one"), context())
    counters = [sealer.seal(part).counter for part in (records[:10], records[10:], records)]
    assert counters == [0, 1, 2]


def test_one_block_key_opens_its_segment_alone() -> None:
    """Handing out a block's key discloses that block and no other."""
    chain = ChainBuilder()
    first, second = realistic_samples(9, 4), realistic_samples(9, 5, first_seq=10)
    one, two = parse_segment(chain.close(first)), parse_segment(chain.close(second))
    secret = block_key("raw 0").secret
    assert open_with_block_key(one, secret) == first
    with pytest.raises(DecryptionError, match="another key"):
        open_with_block_key(two, secret)


def test_a_stranger_can_open_a_frame_from_the_document_alone() -> None:
    """Another library, fed the layout of docs/wire-format.md, gets the same block."""
    records = realistic_rolls(5, 1, first_seq=300)
    frame = BlockSealer(block_key("doc"), context(Stream.ROLL)).seal(records)
    where = context(Stream.ROLL)
    bound = b"LWF1\x02" + bytes.fromhex(derived_bytes("probe", 10).hex() + where.epoch + where.boot)
    bound += b"".join(n.to_bytes(8, "little") for n in (0, 300, 304))
    plain = ChaCha20Poly1305(block_key("doc").secret).decrypt(bytes(12), frame.ciphertext, bound)
    assert decode_block(plain) == records


def test_a_header_outlives_its_body() -> None:
    """A thinned segment keeps a header that parses, encodes the same and verifies."""
    segment = parse_segment(ChainBuilder().close(realistic_samples(9, 1)))
    kept = segment.raw[: segment.header_bytes]
    header = parse_header(kept)
    assert header == segment.header
    assert encode_header(header) == kept
    verify_signature(header, PUBLIC)


def test_every_truncation_and_extension_is_told() -> None:
    """No prefix of a segment is a segment, nor is one with a byte more."""
    raw = ChainBuilder().close(realistic_samples(6, 1))
    for altered in [raw[:length] for length in range(len(raw))] + [raw + b"\x00"]:
        with pytest.raises(MalformedError):
            parse_segment(altered)


def test_every_flipped_bit_is_told() -> None:
    """Each single bit of a segment, flipped, fails to parse, to verify or to open."""
    raw = ChainBuilder(recipients=("fleet", "archive")).close(realistic_samples(3, 1))
    for place in range(8 * len(raw)):
        altered = bytearray(raw)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(LinewatchError):
            read_fully(bytes(altered))


def test_every_flipped_bit_of_a_body_is_told_without_its_hash() -> None:
    """The sealing alone tells an altered body, save another recipient's box."""
    segment = parse_segment(ChainBuilder().close(realistic_samples(3, 1)))
    sealed = segment.frames[0]
    for place in range(8 * len(sealed.ciphertext)):
        altered = bytearray(sealed.ciphertext)
        altered[place // 8] ^= 1 << place % 8
        frames = (replace(sealed, ciphertext=bytes(altered)),)
        with pytest.raises(DecryptionError):
            open_segment(replace(segment, frames=frames), FLEET)
    for place in range(8 * len(segment.boxes)):
        altered = bytearray(segment.boxes)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(DecryptionError):
            open_segment(replace(segment, boxes=bytes(altered)), FLEET)


@given(st.binary(max_size=400))
def test_noise_is_malformed(data: bytes) -> None:
    """Random bytes, with or without the magic, raise MalformedError only."""
    for start in (b"", b"LWS1", b"LWS1\x03"):
        with pytest.raises(MalformedError, match="cannot read segment"):
            parse_segment(start + data)


@given(st.integers(0, 196), st.binary(min_size=1, max_size=6))
def test_a_header_has_one_encoding(place: int, patch: bytes) -> None:
    """Whatever bytes parse as a header are the bytes that it encodes to."""
    segment = parse_segment(ChainBuilder().close(realistic_events(3, 1)))
    kept = segment.raw[: segment.header_bytes]
    altered = (kept[:place] + patch + kept[place + len(patch) :])[: len(kept)]
    try:
        header = parse_header(altered)
    except MalformedError:
        return
    assert encode_header(header) == altered


def test_a_frame_does_not_open_in_another_place() -> None:
    """Probe, epoch, stream, boot, seqs and counter are all bound to the ciphertext."""
    segment = parse_segment(ChainBuilder().close(realistic_samples(3, 1)))
    header, frame = segment.header, segment.frames[0]
    moved: list[Segment] = [
        replace(segment, header=replace(header, probe=ProbeId("a" * 16))),
        replace(segment, header=replace(header, epoch=Epoch("0" * 16))),
        replace(segment, header=replace(header, stream=Stream.EV)),
        replace(segment, header=replace(header, boot=BootId("0" * 32))),
        replace(segment, frames=(replace(frame, counter=1),)),
        replace(segment, frames=(replace(frame, first_seq=2, last_seq=4),)),
    ]
    for altered in moved:
        with pytest.raises(DecryptionError):
            open_segment(altered, FLEET)


def forged(records: list[Record], *, first_seq: int, last_seq: int, mono_ms: int) -> bytes:
    """Return a segment by the probe itself that lies about the records in it."""
    key = block_key("forged")
    frame = seal_frame(
        key.secret,
        context(),
        encode_block(records),
        counter=0,
        first_seq=first_seq,
        last_seq=last_seq,
    )
    return build_segment(
        context(),
        key.wraps,
        [frame],
        head=CHAIN_START,
        mono_first_ms=mono_ms,
        mono_last_ms=mono_ms + 10**7,
        key=signing_key(),
    )


@pytest.mark.parametrize(
    ("records", "last_seq", "mono_ms", "fragment"),
    [
        (realistic_samples(3, 1), 4, 0, "the frame of seqs 1 to 4 holds 1 to 3"),
        (realistic_samples(3, 1, first_seq=2), 3, 0, "holds 2 to 4"),
        (realistic_rolls(3, 1), 3, 0, "records that are not raw"),
        (realistic_samples(3, 1), 3, 10**9, "outside its mono range"),
    ],
)
def test_a_signed_lie_about_the_records_is_told(
    records: list[Record], last_seq: int, mono_ms: int, fragment: str
) -> None:
    """What the header says of seqs, stream and time is checked against the records."""
    raw = forged(records, first_seq=1, last_seq=last_seq, mono_ms=mono_ms)
    with pytest.raises(MalformedError, match=fragment):
        read_fully(raw)


def test_another_key_did_not_sign_it() -> None:
    """A segment does not verify under a key that did not sign it, nor under a bad key."""
    segment = parse_segment(ChainBuilder().close(realistic_samples(3, 1)))
    for public in (signing_key("tomorrow").public, bytes(32), b"short"):
        with pytest.raises(SignatureError, match="cannot trust segment raw/0"):
            verify_signature(segment, public)


def test_a_segment_is_at_most_64_kib() -> None:
    """More is neither built nor read."""
    frame = Frame(0, 1, 9, bytes(SEGMENT_BYTES_MAX))
    with pytest.raises(LimitError, match="split its frames"):
        build_segment(
            context(),
            block_key("big").wraps,
            [frame],
            head=CHAIN_START,
            mono_first_ms=0,
            mono_last_ms=0,
            key=signing_key(),
        )
    with pytest.raises(LimitError, match="the limit is 65536"):
        parse_segment(bytes(SEGMENT_BYTES_MAX + 1))


def test_frames_that_do_not_line_up_are_a_callers_bug() -> None:
    """Holes, repeated counters, and frames off the head never become a segment."""
    good, later = Frame(0, 1, 3, bytes(20)), Frame(0, 4, 5, bytes(20))
    with pytest.raises(ValueError, match="cannot put frame of seq 4"):
        build_body(b"", [good, later])
    with pytest.raises(ValueError, match="cannot put frame of seq 5"):
        build_body(b"", [good, replace(later, counter=1, first_seq=5)])
    with pytest.raises(ValueError, match="must begin at seq 1"):
        build_segment(
            context(),
            block_key("x").wraps,
            [later],
            head=CHAIN_START,
            mono_first_ms=0,
            mono_last_ms=0,
            key=signing_key(),
        )


def test_block_keys_need_distinct_usable_recipients() -> None:
    """No recipient, the same one twice, too few ephemerals or a null key are refused."""
    one, random = recipient("fleet"), derived_bytes("random")
    for recipients, ephemerals in (([], []), ([one, one], [random, random]), ([one], [])):
        with pytest.raises(ValueError, match="a block key needs"):
            new_block_key(random, recipients, ephemerals)
    with pytest.raises(ValueError, match="32 bytes each"):
        new_block_key(random[:31], [one], [random])
    with pytest.raises(MalformedError, match="not a usable X25519 key"):
        new_block_key(random, [RecipientKey(bytes(32))], [random])


def test_damaged_wraps_are_told() -> None:
    """Every truncation of a journal's wraps, and ids out of order, are malformed."""
    wraps = block_key("x", ("fleet", "archive")).wraps
    for length in range(len(wraps)):
        with pytest.raises(MalformedError):
            split_wraps(wraps[:length])
    swapped = wraps[:1] + wraps[9:17] + wraps[1:9] + wraps[17:]
    with pytest.raises(MalformedError, match="ascending order"):
        split_wraps(swapped)


def test_secrets_do_not_show() -> None:
    """Neither a block key nor a signing key prints itself."""
    shown = f"{block_key('x')!r} {signing_key()!r}"
    assert block_key("x").secret.hex() not in shown
    assert "secret" not in shown
    assert derived_bytes("signer today").hex() not in shown
