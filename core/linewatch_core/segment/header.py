"""The clear header of a segment: what it is, where it stands in its chain, who signed.

One header has exactly one valid encoding. It can be read and verified without
its body, which a full store may have thinned away.
Source: docs/wire-format.md, "Header".
"""

import hashlib
from dataclasses import dataclass, replace

from linewatch_core.errors import LimitError, UnsupportedVersionError
from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_bytes, probe_id_from_random
from linewatch_core.records import Stream
from linewatch_core.segment.codec import STREAM_CODES
from linewatch_core.segment.signing import (
    KEY_ID_BYTES,
    SIGNATURE_BYTES,
    KeyId,
    SigningKey,
    check_signature,
)
from linewatch_core.segment.wire import NUMBER_MAX, Reader, varint

MAGIC = b"LWS"
VERSION = b"1"
HASH_BYTES = 32
NO_HASH = bytes(HASH_BYTES)
"""The previous hash of a chain's first segment."""
RECIPIENTS_MAX = 16
_STREAMS = {code: stream for stream, code in STREAM_CODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a segment says in the clear.

    Attributes:
        probe, epoch, stream, boot: whose records, of which store, stream and boot.
        position: place in the chain of (probe, epoch, stream), from 0.
        first_seq, last_seq: the records' numbers, inclusive.
        mono_first_ms, mono_last_ms: the records' least and greatest
            `mono_ms`, or a range around them.
        previous_sha256: of the header at position - 1; 32 zero bytes at position 0.
        body_sha256: of the sealed body.
        recipients: ids of the X25519 keys that can open the body, ascending.
        signer: id of the Ed25519 key.
        signature: over the header before it.
    """

    probe: ProbeId
    epoch: Epoch
    stream: Stream
    boot: BootId
    position: int
    first_seq: int
    last_seq: int
    mono_first_ms: int
    mono_last_ms: int
    previous_sha256: bytes
    body_sha256: bytes
    recipients: tuple[KeyId, ...]
    signer: KeyId
    signature: bytes = b""

    @property
    def count(self) -> int:
        """How many records the segment holds."""
        return self.last_seq - self.first_seq + 1


def sign_header(header: Header, key: SigningKey) -> Header:
    """Return the header with `key` as its signer, signed."""
    unsigned = replace(header, signer=key.id, signature=b"")
    return replace(unsigned, signature=key.sign(_signed_part(unsigned)))


def encode_header(header: Header) -> bytes:
    """Return the one encoding of a header; ValueError if a field is out of range."""
    if len(header.signature) != SIGNATURE_BYTES:
        raise ValueError("cannot encode a header that is not signed")
    return _signed_part(header) + header.signature


def header_sha256(header: Header) -> bytes:
    """Return the SHA-256 of the whole header, signature included: what the next one names."""
    return hashlib.sha256(encode_header(header)).digest()


def parse_header(data: bytes) -> Header:
    """Return the header that is exactly `data`; its signature is not checked here.

    Raises:
        UnsupportedVersionError: another version wrote it.
        MalformedError: the bytes are not a header, or not its one encoding.
    """
    reader = Reader(data, subject="segment header")
    header = take_header(reader)
    reader.end()
    return header


def check_header_signature(header: Header, public_key: bytes) -> None:
    """Raise SignatureError unless `public_key` signed this header."""
    subject = f"segment {header.stream}/{header.position}"
    check_signature(public_key, _signed_part(header), header.signature, subject=subject)


def take_header(reader: Reader) -> Header:
    """Take one header off the front of `reader`; errors as of `parse_header`."""
    if reader.take(len(MAGIC), "magic") != MAGIC:
        raise reader.error("it does not begin with LWS")
    version = reader.take(1, "version")
    if version != VERSION:
        raise UnsupportedVersionError(
            f"cannot read segment header: version {version!r}, "
            f"known is {VERSION!r}; update this Linewatch"
        )
    stream = _STREAMS.get(reader.byte("stream"))
    if stream is None:
        raise reader.error("its stream is none of 1, 2 and 3")
    header = Header(
        stream=stream,
        probe=probe_id_from_random(reader.take(10, "probe")),
        epoch=Epoch(reader.take(8, "epoch").hex()),
        boot=BootId(reader.take(16, "boot").hex()),
        position=reader.varint("position"),
        first_seq=(first_seq := reader.varint("first seq")),
        last_seq=first_seq + reader.varint("seq span"),
        mono_first_ms=(mono_first_ms := reader.varint("mono start")),
        mono_last_ms=mono_first_ms + reader.varint("mono span"),
        previous_sha256=reader.take(HASH_BYTES, "previous hash"),
        body_sha256=reader.take(HASH_BYTES, "body hash"),
        recipients=_take_recipients(reader),
        signer=KeyId(reader.take(KEY_ID_BYTES, "signer").hex()),
        signature=reader.take(SIGNATURE_BYTES, "signature"),
    )
    if problem := _problem(header):
        raise reader.error(problem)
    return header


def _take_recipients(reader: Reader) -> tuple[KeyId, ...]:
    count = reader.byte("recipient count")
    if count > RECIPIENTS_MAX:
        raise LimitError(
            f"cannot read segment header: {count} recipients, the limit is {RECIPIENTS_MAX}"
        )
    return tuple(KeyId(reader.take(KEY_ID_BYTES, "recipients").hex()) for _ in range(count))


def _signed_part(header: Header) -> bytes:
    if problem := _problem(header):
        raise ValueError(f"cannot encode segment header: {problem}")
    return b"".join(
        (
            MAGIC + VERSION,
            bytes([STREAM_CODES[header.stream]]),
            probe_id_bytes(header.probe),
            bytes.fromhex(header.epoch),
            bytes.fromhex(header.boot),
            varint(header.position),
            varint(header.first_seq),
            varint(header.last_seq - header.first_seq),
            varint(header.mono_first_ms),
            varint(header.mono_last_ms - header.mono_first_ms),
            header.previous_sha256,
            header.body_sha256,
            bytes([len(header.recipients)]),
            *map(bytes.fromhex, header.recipients),
            bytes.fromhex(header.signer),
        )
    )


def _problem(header: Header) -> str | None:
    """Return what is wrong with a header's values, whoever made it."""
    recipients, first_seq, last_seq = header.recipients, header.first_seq, header.last_seq
    mono_first_ms, mono_last_ms = header.mono_first_ms, header.mono_last_ms
    starts = header.position == 0
    rules = (
        (1 <= first_seq <= last_seq <= NUMBER_MAX, f"seqs {first_seq} to {last_seq}"),
        (
            0 <= mono_first_ms <= mono_last_ms <= NUMBER_MAX,
            f"mono {mono_first_ms} to {mono_last_ms} ms",
        ),
        (1 <= len(recipients) <= RECIPIENTS_MAX, f"{len(recipients)} recipients"),
        (list(recipients) == sorted(set(recipients)), "its recipients do not ascend"),
        (
            starts == (header.previous_sha256 == NO_HASH),
            "a previous hash goes with every position but 0",
        ),
        (not starts or first_seq == 1, f"its chain begins with seq {first_seq}"),
    )
    return next((problem for holds, problem in rules if not holds), None)
