"""Every golden vector of tests/vectors reads as it did when it was written."""

import hashlib
import json
import re
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from linewatch_core import errors
from linewatch_core.ids import ProbeId
from linewatch_core.records import Record
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.codec import decode_block, encode_block
from linewatch_core.segment.header import encode_header, header_sha256
from linewatch_core.segment.keychain import parse_certificates, verify_key_chain
from linewatch_core.segment.packing import DICTIONARY
from linewatch_core.segment.sealing import open_frame
from linewatch_core.segment.segment import (
    open_segment,
    open_with_block_key,
    parse_segment,
    verify_signature,
)

FOLDER = Path(__file__).parents[2] / "vectors"
FILES = sorted(path.name for path in FOLDER.glob("*.json"))


def test_the_folder_holds_vectors_of_every_kind() -> None:
    """A lost folder does not pass for a good one."""
    kinds = {json.loads((FOLDER / name).read_text())["kind"] for name in FILES}
    assert kinds == {"segments", "keys", "bad-segment", "bad-block", "bad-keys"}


@pytest.mark.parametrize("name", FILES)
def test_vector(name: str) -> None:
    """The file's bytes give what it says: the records, the keys, or the named error."""
    vector = json.loads((FOLDER / name).read_text())
    if "error" not in vector:
        READERS[vector["kind"]](vector)
        return
    with pytest.raises(getattr(errors, vector["error"])) as caught:
        READERS[vector["kind"].removeprefix("bad-")](vector)
    assert type(caught.value).__name__ == vector["error"]
    assert vector["message"] in str(caught.value)


def read_segments(vector: dict[str, Any]) -> None:
    """Check each segment of a good vector in every way, and that they follow each other."""
    headers = []
    for case in vector["segments"]:
        raw = bytes.fromhex(case["segment"])
        segment = parse_segment(raw)
        verify_signature(segment, bytes.fromhex(vector["signer_public"]))
        expected = msgspec.convert(case["records"], list[Record])
        for secret in vector["recipient_secrets"]:
            assert open_segment(segment, bytes.fromhex(secret)) == expected
        assert open_with_block_key(segment, bytes.fromhex(case["block_key"])) == expected
        assert header_sha256(segment.header).hex() == case["header_sha256"]
        assert encode_header(segment.header) == raw[: segment.header_bytes]
        headers.append(segment.header)
    for previous, following in pairwise(headers):
        check_follows(previous, following)


def read_segment(vector: dict[str, Any]) -> None:
    """Take a bad segment through parsing, verifying and opening."""
    segment = parse_segment(bytes.fromhex(vector["segment"]))
    verify_signature(segment, bytes.fromhex(vector["signer_public"]))
    open_segment(segment, bytes.fromhex(vector["recipient_secrets"][0]))


def read_block(vector: dict[str, Any]) -> None:
    """Decode a bad block."""
    decode_block(bytes.fromhex(vector["block"]))


def read_keys(vector: dict[str, Any]) -> None:
    """Verify a chain of keys and compare it with the expected one."""
    certificates = parse_certificates(bytes.fromhex(vector["certificates"]))
    root = bytes.fromhex(vector["root_public"])
    keys = verify_key_chain(root, certificates, probe=ProbeId(vector["probe"]))
    assert [public.hex() for public in keys.values()] == vector["publics"]


READERS = {
    "segments": read_segments,
    "segment": read_segment,
    "block": read_block,
    "keys": read_keys,
}


EARLIER = ("segment-v1-ev", "segment-v1-raw", "segment-v1-raw-checks", "segment-v1-raw-modem")
"""Written before fields were appended to lines, configurations, http and modem details."""


def test_vectors_of_an_earlier_release_lack_what_was_appended() -> None:
    """The old files still hold the short arrays, so that reading them shows something."""
    lengths: set[tuple[str, int]] = set()
    for name in EARLIER:
        for table in plain_tables(name):
            if name == "segment-v1-ev":
                lengths |= {(body[0], len(body)) for body in table[1] if body[0] in LENGTHS}
            else:
                lengths |= {(one[0], len(one)) for one in table[7] if one and one[0] in LENGTHS}
    assert lengths == {*LENGTHS.items(), ("h", 7)}  # an issuer came with the modems


LENGTHS = {"line": 7, "config": 5, "h": 6, "modem": 8}


@pytest.mark.parametrize(
    "name", ["segment-v1-ev-told", "segment-v1-ev-reset", "segment-v1-raw-packet"]
)
def test_vectors_of_this_release_are_what_it_writes(name: str) -> None:
    """The same records give the same table and tail; deflate may differ between builds of zlib."""
    vector = json.loads((FOLDER / f"{name}.json").read_text())
    for case, block in zip(vector["segments"], plain_blocks(name), strict=True):
        records = msgspec.convert(case["records"], list[Record])
        assert inflated(encode_block(records)) == inflated(block)


def plain_blocks(name: str) -> list[bytes]:
    """Return the opened frames of a vector, each a block."""
    vector = json.loads((FOLDER / f"{name}.json").read_text())
    found = []
    for case in vector["segments"]:
        segment = parse_segment(bytes.fromhex(case["segment"]))
        secret = bytes.fromhex(case["block_key"])
        found += [open_frame(secret, segment.context, frame) for frame in segment.frames]
    return found


def plain_tables(name: str) -> list[Any]:
    """Return the tables of a vector's blocks as plain arrays."""
    return [msgspec.msgpack.decode(inflated(block)[0]) for block in plain_blocks(name)]


def inflated(block: bytes) -> tuple[bytes, bytes]:
    """Return a block's table as msgpack, and its tail."""
    stretch = zlib.decompressobj(-15, DICTIONARY)
    return stretch.decompress(block[1:]), stretch.unused_data


def test_the_document_gives_the_preset_dictionary() -> None:
    """docs/wire-format.md spells the very dictionary that the code uses, and its hash."""
    text = (Path(__file__).parents[3] / "docs" / "wire-format.md").read_text()
    section = text.split("### Preset dictionary")[1].split("## Sync")[0]
    spelled = "".join(re.findall(r"^    ([0-9a-f]+)$", section, re.MULTILINE))
    assert bytes.fromhex(spelled) == DICTIONARY
    assert hashlib.sha256(DICTIONARY).hexdigest() in section
