"""Unpacking an archive: what a release holds, and nothing else; any bytes end in order."""

import contextlib
import io
import lzma
import random
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch_agent.releases.unpack import UnpackError, unpack
from tests.support.releases import HERE, release_folder
from tools.deb.archive import write_archive

ROOM = 1_000_000


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return an archive of members as they are given."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return lzma.compress(plain.getvalue(), preset=1)


def member(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    """Return a header."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in values.items():
        setattr(info, key, value)
    return info


def test_a_release_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Every file of a release is there again, with the right to be run where it had it."""
    release = release_folder(tmp_path / "release", "1.0")
    write_archive(release, HERE, tmp_path / "archive", epoch=0)
    out = tmp_path / "out"
    out.mkdir()
    with (tmp_path / "archive").open("rb") as file:
        unpack(file, out, bytes_max=ROOM)
    names = sorted(path.relative_to(release) for path in release.rglob("*"))
    assert sorted(path.relative_to(out) for path in out.rglob("*")) == names
    for path in (path for path in release.rglob("*") if path.is_file()):
        there = out / path.relative_to(release)
        assert there.read_bytes() == path.read_bytes()
        assert there.stat().st_mode == path.stat().st_mode


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (tar_of((member("../evil"), b"x")), "no name that a release has"),
        (tar_of((member("/evil"), b"x")), "no name that a release has"),
        (tar_of((member("a/../../evil"), b"x")), "no name that a release has"),
        (tar_of((member("./a"), b"x")), "no name that a release has"),
        (tar_of((member("a\nb"), b"x")), "no name that a release has"),
        (tar_of((member("l", tarfile.SYMTYPE, linkname="/etc"), b"")), "neither a file nor"),
        (tar_of((member("l", tarfile.LNKTYPE, linkname="a"), b"")), "neither a file nor"),
        (tar_of((member("d", tarfile.CHRTYPE), b"")), "neither a file nor"),
        (tar_of((member("d", tarfile.BLKTYPE), b"")), "neither a file nor"),
        (tar_of((member("p", tarfile.FIFOTYPE), b"")), "neither a file nor"),
        (tar_of((member("a"), b"x"), (member("a"), b"y")), "comes twice"),
        (tar_of((member("a"), b"x"), (member("a/b"), b"y")), "lies in a file"),
        (tar_of((member("a/b"), b"y")), "comes before its folder"),
        (tar_of((member("a" * 300), b"x"), form=tarfile.GNU_FORMAT), "neither a file nor"),
        (tar_of((member("a" * 300), b"x"), form=tarfile.PAX_FORMAT), "neither a file nor"),
        (tar_of((member("a"), bytes(ROOM + 1))), "larger than was signed for"),
        (lzma.compress(b"x" * 512), "a header is damaged"),
        (lzma.compress(b"x" * 100), "ends too early"),
        (b"no xz at all" * 9, "compression is damaged"),
        (b"", "ends too early"),
        (tar_of((member("a"), random.Random(1).randbytes(5000)))[:3000], "ends too early"),
    ],
)
def test_what_no_release_holds_is_refused(archive: bytes, reason: str, tmp_path: Path) -> None:
    """Names that lead out, links, devices, repeats and bombs end in words, and nothing escapes."""
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    with pytest.raises(UnpackError, match=reason):
        unpack(io.BytesIO(archive), out, bytes_max=ROOM)
    assert [path for path in tmp_path.rglob("*") if not path.is_relative_to(out)] == [out.parent]
    assert not any(path.is_symlink() for path in out.rglob("*"))


def test_modes_that_harm_are_not_taken(tmp_path: Path) -> None:
    """A file that would run as its owner, or that all may write, comes out plain."""
    archive = tar_of((member("a", mode=0o7777), b"x"), (member("b", mode=0o666), b"y"))
    unpack(io.BytesIO(archive), tmp_path, bytes_max=ROOM)
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in "ab"] == [0o755, 0o644]


def test_an_archive_that_grows_a_thousandfold_is_stopped(tmp_path: Path) -> None:
    """A bomb is unpacked no further than was signed for."""
    bomb = tar_of((member("a"), b"x"), (member("b"), bytes(200 * ROOM)))
    with pytest.raises(UnpackError, match="larger than was signed for"):
        unpack(io.BytesIO(bomb), tmp_path, bytes_max=ROOM)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= ROOM


GOOD = tar_of(
    (member("lib", tarfile.DIRTYPE), b""), (member("lib/a"), b"abc" * 300), (member("b"), b"")
)
PLAIN = lzma.decompress(GOOD)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2600), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_damage_to_the_tar_ends_in_order(changes: list[tuple[int, int]]) -> None:
    """Bytes changed under the compression: a tree inside the folder, or words."""
    data = bytearray(PLAIN)
    for at, value in changes:
        data[at % len(data)] = value
    _unpacks_or_says(lzma.compress(bytes(data), preset=0))


@settings(max_examples=200)
@given(st.binary(max_size=2000))
def test_any_tar_ends_in_order(data: bytes) -> None:
    """Any bytes under the compression: words, or nothing to unpack."""
    _unpacks_or_says(lzma.compress(data, preset=0))


@settings(max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_damage_to_the_archive_ends_in_order(at: int, flip: int) -> None:
    """Bytes changed in the compressed archive: words, or the same tree."""
    data = bytearray(GOOD)
    data[at] ^= flip
    _unpacks_or_says(bytes(data))


def _unpacks_or_says(archive: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder, "deep", "in")
        inside.mkdir(parents=True)
        with contextlib.suppress(UnpackError):
            unpack(io.BytesIO(archive), inside, bytes_max=ROOM)
        assert list(Path(folder).iterdir()) == [inside.parent]
        assert list(inside.parent.iterdir()) == [inside]
