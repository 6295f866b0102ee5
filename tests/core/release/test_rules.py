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


def said(
    version: str,
    created_s: int,
    *,
    downgrade: bool = False,
    python: str = "3.11",
    machine: str = "aarch64-cp313",
) -> Manifest:
    """Return a manifest."""
    return Manifest(
        version=version,
        created=created_s,
        python=python,
        archives={machine: ARCHIVE},
        downgrade=downgrade,
    )


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (said("1.5.1", 101), None),
        (said("1.5.1", 50), None),
        (said("1.5.0", 101), "runs already"),
        (said("1.4.9", 101), "not signed as a downgrade"),
        (said("1.4.9", 101, downgrade=True), None),
        (said("1.4.9", 100, downgrade=True), "a replayed manifest"),
        (said("1.6.0", 100), "did not prove itself"),
        (said("1.6.0", 101), None),
        (said("1.5.1", 101, python="3.14"), "needs Python 3.14"),
        (said("1.5.1", 101, machine="armv7l-cp313"), "no archive for aarch64-cp313"),
    ],
)
def test_refusal(manifest: Manifest, reason: str | None) -> None:
    """Newer is taken, older only if signed so and not replayed, failed only if signed anew."""
    told = refusal(manifest, STANDING)
    assert (told is None) if reason is None else (told is not None and reason in told)
