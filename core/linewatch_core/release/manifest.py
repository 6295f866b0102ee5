"""The manifest of a release: which archives it has, signed by the fleet's operator.

Pure. Signed is MANIFEST_CONTEXT and the bytes of the message as they stand, so that no
signature of Linewatch's can be taken for one over something else. Bad bytes raise core's
errors only (fuzzed). Source: docs/decisions/0021.
"""

import base64
import binascii
import re
from typing import Annotated, Final, Literal

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from linewatch_core.errors import LimitError, MalformedError, SignatureError
from linewatch_core.release.version import is_version

FORMAT: Final = "linewatch-release-1"
MANIFEST_CONTEXT = b"linewatch/release/1\0"
MANIFEST_BYTES_MAX = 64 * 1024
ARCHIVE_BYTES_MAX = 64 * 1024 * 1024
UNPACKED_BYTES_MAX = 256 * 1024 * 1024
KEY_HEX = re.compile(r"[0-9a-f]{64}")
"""A public key as configuration and release.pub spell it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"[!-~]{1,500}")
_MACHINE = re.compile(r"[a-z0-9_]{1,20}-cp[0-9]{2,4}")
_PYTHON = re.compile(r"3\.[0-9]{1,3}")
_NOT_DECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a release.

    Attributes:
        url: where it is, absolute or relative to where the manifest is.
        sha256: of its bytes, in hexadecimal.
        bytes: how long it is.
        unpacked_bytes: what its files have together.
    """

    url: str
    sha256: str
    bytes: Annotated[int, msgspec.Meta(ge=1, le=ARCHIVE_BYTES_MAX)]
    unpacked_bytes: Annotated[int, msgspec.Meta(ge=1, le=UNPACKED_BYTES_MAX)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator says of a release. Fields that are not known are passed over.

    Attributes:
        format: what this is.
        version: of the release.
        created: when it was signed, in seconds of UTC; a probe never goes back to what
            was signed before what it took last.
        python: the least Python that it runs on, such as `3.11`.
        archives: by kind of machine, such as `aarch64-cp313`.
        downgrade: whether a newer release may be replaced by this one.
    """

    format: Literal["linewatch-release-1"] = FORMAT
    version: str
    created: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    python: str
    archives: Annotated[dict[str, Archive], msgspec.Meta(min_length=1, max_length=32)]
    downgrade: bool = False


class _Signed(msgspec.Struct, frozen=True):
    msg: msgspec.Raw
    sig: Annotated[str, msgspec.Meta(max_length=128)]


def sign_manifest(manifest: Manifest, key: SigningKey) -> bytes:
    """Return a manifest as JSON with its signature.

    Raises:
        MalformedError: no probe would take it.
    """
    _check(manifest)
    # `format` is said although it is a default: it is what tells manifests apart.
    body = msgspec.json.encode({"format": FORMAT, **msgspec.to_builtins(manifest)})
    signature = key.sign(MANIFEST_CONTEXT + body).signature
    signed = _Signed(msgspec.Raw(body), base64.b64encode(signature).decode())
    return msgspec.json.encode(signed)


def open_manifest(data: bytes, public_key: str) -> Manifest:
    """Return the manifest in `data` after checking who signed it.

    Args:
        public_key: 64 hexadecimal digits.
    Raises:
        MalformedError: no manifest, or one that this version can't read.
        SignatureError: not signed by that key.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise LimitError(f"a manifest of {len(data)} bytes is over {MANIFEST_BYTES_MAX}")
    if not KEY_HEX.fullmatch(public_key):
        raise MalformedError("not a release key: expected 64 digits of 0-9 a-f")
    try:
        envelope = msgspec.json.decode(data, type=_Signed)
        signature = base64.b64decode(envelope.sig, validate=True)
    except (*_NOT_DECODABLE, binascii.Error, ValueError) as error:
        raise MalformedError("not a release's manifest") from error
    body = bytes(envelope.msg)
    try:
        VerifyKey(bytes.fromhex(public_key)).verify(MANIFEST_CONTEXT + body, signature)
    except (BadSignatureError, ValueError) as error:
        raise SignatureError(
            "cannot trust this release: its manifest is not signed by the key that this "
            "probe was given; it was altered, or signed by someone else"
        ) from error
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except _NOT_DECODABLE as error:
        raise MalformedError(f"cannot read the release's manifest: {error}") from error
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    if not is_version(manifest.version):
        raise MalformedError(f"not a release's version: {manifest.version[:40]!r}")
    if not _PYTHON.fullmatch(manifest.python):
        raise MalformedError(f"not a version of Python: {manifest.python[:40]!r}")
    for machine, archive in manifest.archives.items():
        if not _MACHINE.fullmatch(machine):
            raise MalformedError(f"not a kind of machine: {machine[:40]!r}")
        if not _DIGEST.fullmatch(archive.sha256) or not _URL.fullmatch(archive.url):
            raise MalformedError(f"the archive for {machine} has no proper hash and address")
