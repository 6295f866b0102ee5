"""Signs releases of the agent: `linewatch-server release key` and `release sign`.

Needs no server's directory: the key is the operator's, and is kept off the server. The
archives are those of `make deb`, taken as they are. Source: docs/probe.md, "Package and updates".
"""

import hashlib
import lzma
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from linewatch_core.errors import LinewatchError
from linewatch_core.release.manifest import Archive, Manifest, sign_manifest

SEED_BYTES = 32
LEAST_PYTHON = "3.11"
_NAME = re.compile(r"linewatch-agent-([0-9.]+)-([a-z0-9_]+-cp[0-9]+)\.tar\.xz")


class ReleaseError(LinewatchError):
    """A release can't be signed; the message says what to do."""


def make_key(path: Path) -> str:
    """Write a new private key to a file that is not there yet; return the public half.

    Raises:
        ReleaseError: it can't be written.
    """
    seed = os.urandom(SEED_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ReleaseError(
            f"cannot make a key in {path}: it exists; a key that probes know is never replaced"
        ) from None
    except OSError as error:
        raise ReleaseError(f"cannot make a key in {path}: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(seed.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return bytes(SigningKey(seed).verify_key).hex()


def read_key(path: Path) -> SigningKey:
    """Return the private key in a file, or raise ReleaseError."""
    try:
        return SigningKey(bytes.fromhex(path.read_text("ascii")))
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ReleaseError(
            f"cannot use {path}: expected what `linewatch-server release key` writes"
        ) from None


def sign_release(
    archives: Sequence[Path], key: SigningKey, *, url: str, created_s: int, downgrade: bool
) -> tuple[Manifest, bytes]:
    """Return the manifest of a release, and the signed bytes to publish.

    Args:
        archives: files of one version, named as `make deb` names them.
        url: what their names are appended to; "" if they lie beside the manifest.
        created_s: when it is signed, in seconds of UTC; each time later than the last.
    Raises:
        ReleaseError, MalformedError: no probe would take it.
    """
    looked = [_look(path, url) for path in archives]
    versions = {one.version for one in looked}
    if len(versions) != 1:
        told = ", ".join(sorted(versions)) or "none"
        raise ReleaseError(f"cannot sign: expected archives of one version, found {told}")
    manifest = Manifest(
        version=versions.pop(),
        created=created_s,
        python=LEAST_PYTHON,
        archives={one.machine: one.archive for one in looked},
        downgrade=downgrade,
    )
    return manifest, sign_manifest(manifest, key)


@dataclass(frozen=True, slots=True)
class _Looked:
    version: str
    machine: str
    archive: Archive


def _look(path: Path, url: str) -> _Looked:
    """Return what an archive's name and content say; they must agree."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ReleaseError(f"cannot sign {path}: expected an archive that `make deb` made")
    try:
        data = path.read_bytes()
        with tarfile.open(path, "r:xz") as tar:
            unpacked = sum(info.size for info in tar)
            file = tar.extractfile("VERSION")
            inside = file.read(64).decode("ascii").strip() if file else ""
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError, ValueError, KeyError) as error:
        raise ReleaseError(f"cannot sign {path}: {error}") from None
    if inside != named[1]:
        raise ReleaseError(f"cannot sign {path}: the release in it is {inside!r}")
    archive = Archive(
        url=url + path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        unpacked_bytes=unpacked,
    )
    return _Looked(named[1], named[2], archive)
