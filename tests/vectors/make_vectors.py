"""Writes the golden vectors of the segment format: `python -m tests.vectors.make_vectors`.

Each file holds all that a reader needs, in hexadecimal, and what it must find.
Old vectors stay: only files that do not exist yet are written. Those that an earlier
release wrote lack the fields that were appended since, and show that they still read.
"""

import hashlib
import json
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from linewatch_core.records import Record
from linewatch_core.segment.codec import encode_block
from linewatch_core.segment.header import encode_header, sign_header
from linewatch_core.segment.keychain import certify_key, encode_certificates
from linewatch_core.segment.packing import DICTIONARY
from linewatch_core.segment.segment import Segment, parse_segment
from tests.support.check_records import check_samples
from tests.support.records import (
    realistic_events,
    realistic_rolls,
    realistic_samples,
    told_events,
)
from tests.support.segments import (
    PROBE,
    ChainBuilder,
    block_key,
    recipient_secret,
    signing_key,
)

FOLDER = Path(__file__).parent
DAYS = ("monday", "tuesday", "wednesday")


def main() -> None:
    """Write every vector that is not yet beside this file."""
    for name, vector in {**_good(), **_bad()}.items():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(vector, indent=1, ensure_ascii=True) + "\n")


def _good() -> dict[str, dict[str, Any]]:
    two = ChainBuilder(recipients=("fleet", "archive"))
    chain, records = ChainBuilder(), realistic_samples(90, 5)
    cut = realistic_samples(40, 6)
    return {
        "segment-v1-ev": _segments("One segment of events.", [realistic_events(12, 1)]),
        "segment-v1-roll": _segments("One segment of roll-ups.", [realistic_rolls(36, 2)]),
        "segment-v1-raw": _segments("One segment of samples.", [realistic_samples(60, 3)]),
        "segment-v1-raw-checks": _segments("A sample of each later check.", [check_samples()]),
        "segment-v1-ev-told": _segments("What verdicts rest on.", [told_events()]),
        "segment-v1-raw-modem": _segments("Modems and issuers.", [check_samples()]),
        "segment-v1-raw-packet": _segments("Packet service of modems.", [check_samples()]),
        "segment-v1-ev-reset": _segments("A modem that was reset.", [told_events()]),
        "segment-v1-journal": _vector(
            "Three frames that a power cut left in the journal.",
            [ChainBuilder().close(cut[:18], cut[18:19], cut[19:])],
            [cut],
        ),
        "segment-v1-recipients": _vector(
            "Sealed to two recipients.",
            [two.close(realistic_samples(9, 4))],
            [realistic_samples(9, 4)],
            recipients=("fleet", "archive"),
        ),
        "segment-v1-chain": _vector(
            "Three segments of one chain, in order.",
            [chain.close(records[at : at + 30]) for at in (0, 30, 60)],
            [records[at : at + 30] for at in (0, 30, 60)],
        ),
        "keys-v1-rotation": _keys(),
    }


def _segments(about: str, blocks: list[list[Record]]) -> dict[str, Any]:
    chain = ChainBuilder()
    return _vector(about, [chain.close(records) for records in blocks], blocks)


def _vector(
    about: str,
    segments: list[bytes],
    blocks: list[list[Record]],
    *,
    recipients: tuple[str, ...] = ("fleet",),
) -> dict[str, Any]:
    stream = parse_segment(segments[0]).header.stream
    return {
        "kind": "segments",
        "about": about,
        "signer_public": signing_key().public.hex(),
        "recipient_secrets": [recipient_secret(name).hex() for name in recipients],
        "segments": [
            {
                "segment": raw.hex(),
                "block_key": block_key(f"{stream} {place}", recipients).secret.hex(),
                "header_sha256": hashlib.sha256(raw[: parse_segment(raw).header_bytes]).hexdigest(),
                "records": msgspec.to_builtins(records),
            }
            for place, (raw, records) in enumerate(zip(segments, blocks, strict=True))
        ],
    }


def _keys() -> dict[str, Any]:
    keys = [signing_key(day) for day in DAYS]
    certificates = [
        certify_key(PROBE, old, new.public, position=place)
        for place, (old, new) in enumerate(pairwise(keys), start=1)
    ]
    return {
        "kind": "keys",
        "about": "A root key and two rotations.",
        "probe": PROBE,
        "root_public": keys[0].public.hex(),
        "certificates": encode_certificates(certificates).hex(),
        "publics": [key.public.hex() for key in keys],
    }


def _bad() -> dict[str, dict[str, Any]]:
    raw = ChainBuilder().close(realistic_samples(4, 9))
    segment = parse_segment(raw)
    end = segment.header_bytes
    other = sign_header(segment.header, signing_key("tomorrow"))
    bomb = encode_block(realistic_events(1, 1))[:1] + _bomb()
    cases: dict[str, tuple[str, bytes, str, str]] = {
        "magic": ("Another magic.", b"X" + raw[1:], "MalformedError", "does not begin with LWS"),
        "version": (
            "A version to come.",
            raw[:3] + b"2" + raw[4:],
            "UnsupportedVersionError",
            "update this Linewatch",
        ),
        "stream": ("An unknown stream.", raw[:4] + b"\x09" + raw[5:], "MalformedError", "stream"),
        "cut-header": ("A header cut short.", raw[:100], "MalformedError", "ends within its"),
        "cut-body": ("A body cut short.", raw[:-1], "MalformedError", "hash in the header"),
        "padded-number": (
            "Position 0 spelled with two bytes.",
            raw[:39] + b"\x80" + raw[39:],
            "MalformedError",
            "needless bytes",
        ),
        "huge-number": (
            "A position above 2^63-1.",
            raw[:39] + b"\xff" * 9 + b"\x01" + raw[40:],
            "LimitError",
            "above 2^63-1",
        ),
        "oversize": ("One byte above 64 KiB.", bytes(65_537), "LimitError", "limit is 65536"),
        "header": (
            "An altered probe under the old signature.",
            raw[:5] + bytes([raw[5] ^ 1]) + raw[6:],
            "SignatureError",
            "cannot trust segment raw/0",
        ),
        "signer": (
            "Signed by a key that was not enrolled.",
            encode_header(other) + raw[end:],
            "SignatureError",
            "altered, or signed by someone else",
        ),
        "ciphertext": (
            "A ciphertext altered by the probe itself, and signed.",
            _resigned(segment, raw[end:-1] + bytes([raw[-1] ^ 1])),
            "DecryptionError",
            "cannot open frame of seqs 1 to 4",
        ),
        "box": (
            "An altered sealed box, signed.",
            _resigned(segment, bytes([raw[end] ^ 1]) + raw[end + 1 :]),
            "DecryptionError",
            "the box for",
        ),
        "trailing": (
            "A byte after the last frame, signed.",
            _resigned(segment, raw[end:] + b"\x00"),
            "MalformedError",
            "bytes follow its end",
        ),
    }
    vectors = {
        f"bad-segment-v1-{name}": {
            "kind": "bad-segment",
            "about": about,
            "signer_public": signing_key().public.hex(),
            "recipient_secrets": [recipient_secret("fleet").hex()],
            "segment": data.hex(),
            "error": error,
            "message": message,
        }
        for name, (about, data, error, message) in cases.items()
    }
    vectors["bad-block-v1-bomb"] = {
        "kind": "bad-block",
        "about": "A small block that inflates to two megabytes.",
        "block": bomb.hex(),
        "error": "LimitError",
        "message": "above 262144 bytes",
    }
    vectors["bad-keys-v1-gap"] = _bad_keys()
    return vectors


def _bad_keys() -> dict[str, Any]:
    whole = _keys()
    return {
        **whole,
        "kind": "bad-keys",
        "about": "The first rotation is missing.",
        "certificates": whole["certificates"][len(whole["certificates"]) // 2 :],
        "error": "ChainError",
        "message": "does not follow the key before",
    }


def _resigned(segment: Segment, body: bytes) -> bytes:
    digest = hashlib.sha256(body).digest()
    return (
        encode_header(sign_header(replace(segment.header, body_sha256=digest), signing_key()))
        + body
    )


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    return squeeze.compress(bytes(2_000_000)) + squeeze.flush()


if __name__ == "__main__":
    main()
