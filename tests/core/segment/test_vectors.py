"""Every golden vector of tests/vectors reads as it did when it was written."""

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from linewatch_core import errors
from linewatch_core.ids import ProbeId
from linewatch_core.records import Record
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.codec import decode_block
from linewatch_core.segment.header import encode_header, header_sha256
from linewatch_core.segment.keychain import parse_certificates, verify_key_chain
from linewatch_core.segment.packing import DICTIONARY
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


def test_the_document_gives_the_preset_dictionary() -> None:
    """docs/wire-format.md spells the very dictionary that the code uses, and its hash."""
    text = (Path(__file__).parents[3] / "docs" / "wire-format.md").read_text()
    section = text.split("### Preset dictionary")[1].split("## Sync")[0]
    spelled = "".join(re.findall(r"^    ([0-9a-f]+)$", section, re.MULTILINE))
    assert bytes.fromhex(spelled) == DICTIONARY
    assert hashlib.sha256(DICTIONARY).hexdigest() in section
