"""Unpacks a release's archive: plain files and folders below one folder, and nothing else.

No links, no devices, no names that lead out, no more bytes than were signed for. A tar's
header is read one block at a time: extended headers, which could ask for memory, are not
taken. Any bytes give a tree or an UnpackError (fuzzed). Source: POSIX ustar.
"""

import lzma
import os
import re
import tarfile
from pathlib import Path
from typing import BinaryIO

from linewatch_core.errors import LinewatchError

BLOCK = tarfile.BLOCKSIZE
FILES_MAX = 20_000
DICTIONARY_BYTES = 16 * 1024 * 1024
"""Of the compression: what unpacking takes of memory, on a machine that has 512 MB."""
MEMORY_BYTES_MAX = 2 * DICTIONARY_BYTES
_READ_BYTES = 64 * 1024
_PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._+@=-]{1,120}")
_DEPTH_MAX = 16


class UnpackError(LinewatchError):
    """An archive is damaged, or holds what no release holds."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot unpack the release: {reason}")


def unpack(archive: BinaryIO, folder: Path, *, bytes_max: int) -> None:
    """Unpack an archive (.tar.xz) into an empty folder that nobody else can write to.

    Args:
        bytes_max: of all files together.
    Raises:
        UnpackError: it is not what a release's archive is; the folder holds a part of it.
        OSError: it can't be written.
    """
    stream = _Stream(archive, bytes_max + FILES_MAX * 2 * BLOCK)
    made: set[str] = set()
    left = bytes_max
    while (info := _next(stream)) is not None:
        name = _checked_name(info, made)
        made.add(name)
        if len(made) > FILES_MAX:
            raise UnpackError(f"over {FILES_MAX} files")
        if info.isdir():
            (folder / name).mkdir(mode=0o755)
            continue
        left -= info.size
        if info.size < 0 or left < 0:
            raise UnpackError("its files are larger than was signed for")
        _write(stream, folder / name, info)


def _next(stream: "_Stream") -> tarfile.TarInfo | None:
    """Return the next header, or None at the end."""
    block = stream.exactly(BLOCK)
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise UnpackError(f"a header is damaged ({error})") from error


def _checked_name(info: tarfile.TarInfo, made: set[str]) -> str:
    name = info.name.rstrip("/")
    parts = name.split("/")
    if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
        raise UnpackError(f"{name[:80]!r} is neither a file nor a folder")
    if len(parts) > _DEPTH_MAX or not all(map(_PART.fullmatch, parts)):
        raise UnpackError(f"{name[:80]!r} is no name that a release has")
    if name in made:
        raise UnpackError(f"{name[:80]!r} comes twice")
    if len(parts) > 1 and "/".join(parts[:-1]) not in made:
        raise UnpackError(f"{name[:80]!r} comes before its folder")
    return name


def _write(stream: "_Stream", path: Path, info: tarfile.TarInfo) -> None:
    mode = 0o755 if info.mode & 0o100 else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except NotADirectoryError:
        raise UnpackError(f"{info.name[:80]!r} lies in a file") from None
    with open(descriptor, "wb") as file:
        left = info.size
        while left:
            part = stream.exactly(min(left, _READ_BYTES))
            file.write(part)
            left -= len(part)
    stream.exactly(-info.size % BLOCK)


class _Stream:
    """An archive's bytes after decompression, at most so many."""

    def __init__(self, archive: BinaryIO, bytes_max: int) -> None:
        self._archive = archive
        self._left = bytes_max
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES_MAX)
        self._buffer = bytearray()

    def exactly(self, count: int) -> bytes:
        """Return so many bytes; UnpackError if there are fewer, or they exceed the bound."""
        self._left -= count
        if self._left < 0:
            raise UnpackError("it is larger than was signed for")
        while len(self._buffer) < count:
            self._more()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _more(self) -> None:
        decompressor = self._decompressor
        if decompressor.eof:
            raise UnpackError("it ends too early")
        data = self._archive.read(_READ_BYTES) if decompressor.needs_input else b""
        if decompressor.needs_input and not data:
            raise UnpackError("it ends too early")
        try:
            self._buffer += decompressor.decompress(data, max_length=_READ_BYTES)
        except lzma.LZMAError as error:
            raise UnpackError(f"its compression is damaged ({error})") from error
