"""Which releases a probe takes, as a table."""

import pytest

from linewatch_core.release.manifest import Archive, Manifest
from linewatch_core.release.rules import Standing, refusal

ARCHIVE = Archive(url="x", sha256="00" * 32, bytes=1, unpacked_bytes=1)
STANDING = Standing(
    version="1.5.0",
    taken_s=100,
    failed=frozenset({"1.6.0"}),
    machine="aarch64-cp313",
    python=(3, 13),
)


@pytest.mark.parametrize(
    ("version", "created_s", "downgrade", "python", "machine", "reason"),
    [
        ("1.5.1", 101, False, "3.11", "aarch64-cp313", None),
        ("1.5.1", 50, False, "3.11", "aarch64-cp313", None),
        ("1.5.0", 101, False, "3.11", "aarch64-cp313", "runs already"),
        ("1.4.9", 101, False, "3.11", "aarch64-cp313", "not signed as a downgrade"),
        ("1.4.9", 101, True, "3.11", "aarch64-cp313", None),
        ("1.4.9", 100, True, "3.11", "aarch64-cp313", "a replayed manifest"),
        ("1.6.0", 100, False, "3.11", "aarch64-cp313", "did not prove itself"),
        ("1.6.0", 101, False, "3.11", "aarch64-cp313", None),
        ("1.5.1", 101, False, "3.14", "aarch64-cp313", "needs Python 3.14"),
        ("1.5.1", 101, False, "3.11", "armv7l-cp313", "no archive for aarch64-cp313"),
    ],
)
def test_refusal(
    version: str,
    created_s: int,
    downgrade: bool,
    python: str,
    machine: str,
    reason: str | None,
) -> None:
    """Newer is taken, older only if signed so and not replayed, failed only if signed anew."""
    manifest = Manifest(
        version=version,
        created=created_s,
        python=python,
        archives={machine: ARCHIVE},
        downgrade=downgrade,
    )
    told = refusal(manifest, STANDING)
    assert (told is None) if reason is None else (told is not None and reason in told)
