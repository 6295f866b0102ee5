"""Details as a raw block stores them: digests in bytes, since hexadecimal deflates badly."""

import re
from typing import TypeAlias

import msgspec

from linewatch_core.details import Detail, HttpDetail

_DIGEST = re.compile(r"(?:[0-9a-f]{2})+")


class PackedHttp(msgspec.Struct, tag="h", array_like=True, frozen=True):
    """An HttpDetail whose digests are lower-case hexadecimal, as all but odd ones are."""

    status: int
    body_bytes: int
    body_sha256: bytes
    location: str | None
    chain_sha256: bytes | None
    issuer_sha256: bytes | None = None


PackedDetail: TypeAlias = Detail | PackedHttp


def pack_detail(detail: Detail | None) -> PackedDetail | None:
    """Return the stored form of a detail; `unpack_detail` undoes it exactly."""
    if not isinstance(detail, HttpDetail):
        return detail
    digests = (detail.body_sha256, detail.chain_sha256, detail.issuer_sha256)
    if not all(digest is None or _DIGEST.fullmatch(digest) for digest in digests):
        return detail
    return PackedHttp(
        status=detail.status,
        body_bytes=detail.body_bytes,
        body_sha256=bytes.fromhex(detail.body_sha256),
        location=detail.location,
        chain_sha256=_packed(detail.chain_sha256),
        issuer_sha256=_packed(detail.issuer_sha256),
    )


def unpack_detail(detail: PackedDetail | None) -> Detail | None:
    """Return the detail that was stored."""
    if not isinstance(detail, PackedHttp):
        return detail
    return HttpDetail(
        status=detail.status,
        body_bytes=detail.body_bytes,
        body_sha256=detail.body_sha256.hex(),
        location=detail.location,
        chain_sha256=None if detail.chain_sha256 is None else detail.chain_sha256.hex(),
        issuer_sha256=None if detail.issuer_sha256 is None else detail.issuer_sha256.hex(),
    )


def _packed(digest: str | None) -> bytes | None:
    return None if digest is None else bytes.fromhex(digest)
