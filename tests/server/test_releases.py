"""The operator's commands that make a key and sign a release."""

import stat
from pathlib import Path

import pytest

from linewatch_core.release.manifest import open_manifest
from linewatch_server.__main__ import main
from tests.support.releases import HERE, release_folder
from tools.deb.archive import write_archive


def archive(folder: Path, version: str, *, named: str | None = None) -> Path:
    """Make an archive as `make deb` does, under the name of `named`, else its own version."""
    folder.mkdir(parents=True)
    release = release_folder(folder / "release", version)
    file = folder / f"linewatch-agent-{named or version}-{HERE.tag}.tar.xz"
    write_archive(release, HERE, file, epoch=0)
    return file


def key_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """Make a key, and return its file and what is printed of it."""
    file = folder / "release.key"
    assert main(["release", "key", str(file)]) == 0
    return file, capsys.readouterr().out.rpartition('key = "')[2].strip().rstrip('"')


def test_what_is_signed_opens_with_the_key_that_was_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, archive, manifest: the printed key opens it, and it says what the archive is."""
    key, public = key_in(tmp_path, capsys)
    made = archive(tmp_path / "made", "1.4.0")
    into = tmp_path / "manifest"
    command = ["release", "sign", "--key", str(key), "--into", str(into), str(made)]
    assert main([*command, "--url", "https://example.org/r/", "--downgrade"]) == 0
    manifest = open_manifest(into.read_bytes(), public)
    assert (manifest.version, manifest.downgrade) == ("1.4.0", True)
    said = manifest.archives[HERE.tag]
    assert said.url == f"https://example.org/r/{made.name}"
    assert said.bytes == made.stat().st_size
    files = sum(f.stat().st_size for f in (tmp_path / "made/release").rglob("*") if f.is_file())
    assert said.unpacked_bytes == files


def test_a_key_is_private_and_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its owner can read it, and a second one does not take its place."""
    key, _ = key_in(tmp_path, capsys)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert main(["release", "key", str(key)]) == 1
    assert "is never replaced" in capsys.readouterr().err
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("two versions", "expected archives of one version, found 1.4.0, 1.5.0"),
        ("another inside", "the release in it is '1.4.0'"),
        ("damaged", "cannot sign"),
        ("another name", "expected an archive that `make deb` made"),
        ("no key", "cannot read"),
        ("no such key", "expected what `linewatch-server release key` writes"),
    ],
)
def test_what_no_probe_would_take_is_not_signed(
    spoil: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong archives and keys are told in one line, and no manifest is written."""
    key, _ = key_in(tmp_path, capsys)
    named = "1.5.0" if spoil == "another inside" else None
    archives = [archive(tmp_path / "made", "1.4.0", named=named)]
    match spoil:
        case "two versions":
            archives.append(archive(tmp_path / "more", "1.5.0"))
        case "damaged":
            archives[0].write_bytes(archives[0].read_bytes()[:50])
        case "another name":
            archives[0] = archives[0].rename(tmp_path / "release.tar.xz")
        case "no key":
            key.unlink()
        case "no such key":
            key.write_text("not hexadecimal")
    into = tmp_path / "manifest"
    command = ["release", "sign", "--key", str(key), "--into", str(into)]
    assert main([*command, *map(str, archives)]) == 1
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1
    assert not into.exists()
