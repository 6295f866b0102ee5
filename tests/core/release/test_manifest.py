"""The manifest of a release: who signed it, and that no other bytes are taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from linewatch_core.errors import LimitError, LinewatchError, MalformedError, SignatureError
from linewatch_core.release.manifest import (
    MANIFEST_BYTES_MAX,
    Archive,
    Manifest,
    open_manifest,
    sign_manifest,
)
from linewatch_core.release.version import is_version, version_key

KEY = SigningKey(bytes(32))
PUBLIC = bytes(KEY.verify_key).hex()
ARCHIVE = Archive(url="a.tar.xz", sha256="0f" * 32, bytes=10, unpacked_bytes=20)


def manifest(**changes: object) -> Manifest:
    """Return a manifest that is right, but for `changes`."""
    plain = Manifest(version="1.2.3", created=5, python="3.11", archives={"aarch64-cp313": ARCHIVE})
    return msgspec.structs.replace(plain, **changes)


SIGNED = sign_manifest(manifest(), KEY)


@pytest.mark.parametrize("downgrade", [False, True])
def test_what_was_signed_comes_back(downgrade: bool) -> None:
    """A signed manifest opens to what was signed."""
    plain = manifest(downgrade=downgrade)
    assert open_manifest(sign_manifest(plain, KEY), PUBLIC) == plain


def test_another_key_is_refused() -> None:
    """What somebody else signed is refused in words."""
    other = sign_manifest(manifest(), SigningKey(b"1" * 32))
    with pytest.raises(SignatureError, match="not signed by the key"):
        open_manifest(other, PUBLIC)


def test_a_signature_over_something_else_does_not_count() -> None:
    """The same bytes signed without the manifest's own beginning are refused."""
    envelope = msgspec.json.decode(SIGNED)
    body = msgspec.json.encode(envelope["msg"])
    import base64

    envelope["sig"] = base64.b64encode(KEY.sign(body).signature).decode()
    with pytest.raises(SignatureError):
        open_manifest(msgspec.json.encode(envelope), PUBLIC)


def test_fields_of_later_versions_are_passed_over() -> None:
    """A newer operator's tool may say more."""
    import base64

    body = msgspec.json.encode(
        {**msgspec.to_builtins(manifest()), "format": "linewatch-release-1", "later": 1}
    )
    sig = base64.b64encode(KEY.sign(b"linewatch/release/1\0" + body).signature).decode()
    data = b'{"msg":' + body + b',"sig":"' + sig.encode() + b'"}'
    assert open_manifest(data, PUBLIC) == manifest()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1.2.3-rc1"},
        {"version": "../../etc"},
        {"version": "01.2"},
        {"python": "4"},
        {"archives": {"../x-cp313": ARCHIVE}},
        {"archives": {"aarch64-cp313": msgspec.structs.replace(ARCHIVE, sha256="0F" * 32)}},
        {"archives": {"aarch64-cp313": msgspec.structs.replace(ARCHIVE, url="a b")}},
    ],
)
def test_what_no_probe_takes_is_not_signed(changes: dict[str, object]) -> None:
    """A manifest that is wrong is refused before it is signed."""
    with pytest.raises(MalformedError):
        sign_manifest(manifest(**changes), KEY)


def test_too_long_is_refused_unread() -> None:
    """A manifest over its bound is refused whatever it holds."""
    with pytest.raises(LimitError):
        open_manifest(b"x" * (MANIFEST_BYTES_MAX + 1), PUBLIC)


@given(st.binary(max_size=300))
def test_any_bytes_raise_core_errors_only(data: bytes) -> None:
    """Bytes from a network are refused, and never by another error."""
    with pytest.raises(LinewatchError):
        open_manifest(data, PUBLIC)


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_no_changed_byte_is_taken(at: int, flip: int) -> None:
    """One byte changed anywhere, and the manifest is refused or means the same."""
    data = bytearray(SIGNED)
    data[at] ^= flip
    try:
        opened = open_manifest(bytes(data), PUBLIC)
    except LinewatchError:
        return
    assert opened == manifest()


@given(st.integers(0, len(SIGNED) - 1))
def test_no_part_is_taken(length: int) -> None:
    """A manifest that was cut off is refused."""
    with pytest.raises(LinewatchError):
        open_manifest(SIGNED[:length], PUBLIC)


def test_versions_are_ordered_by_numbers() -> None:
    """1.10 comes after 1.9, and what is no version has no order."""
    assert sorted(["1.10", "1.9", "1.9.1"], key=version_key) == ["1.9", "1.9.1", "1.10"]
    assert not is_version("1")
    with pytest.raises(ValueError, match="not a version"):
        version_key("1.x")
