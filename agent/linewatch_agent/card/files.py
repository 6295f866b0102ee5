"""The files that people put on the card's first partition, and the one that we put there.

That partition is FAT, so that any computer can write it: names come in any case, with
endings that editors add, and numbers that downloads add. Knows no TOML. A file is replaced
whole or not at all.
"""

import contextlib
import errno
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from linewatch_agent.durable import sync_folder, write_whole
from linewatch_agent.plan.card_text import CARD_BYTES_MAX
from linewatch_core.errors import LinewatchError

CONFIG_NAMES = ("linewatch.toml", "linewatch.toml.txt", "linewatch.txt")
TOKEN_NAMES = (
    *("linewatch-token.toml", "linewatch-token.toml.txt", "linewatch-token.txt"),
    *("linewatch-token.json", "linewatch-token.json.txt", "linewatch-token", "token.toml"),
)
PROBLEM = "linewatch-problem.txt"
_FILE_MODE = 0o644
_COPY = re.compile(r" ?\([0-9]{1,3}\)(?=\.)")
"""What a browser adds to the name of a file that it downloads again: `linewatch (1).toml`."""
_FORMATTED = re.compile(r"linewatch.*\.(rtf|docx?|odt|pages)")
"""What word processors make of a text file."""


class CardError(LinewatchError):
    """Something is wrong with the files on the card; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CardFile:
    """One file of the person's: where it is and what is in it."""

    path: Path
    data: bytes

    @property
    def empty(self) -> bool:
        """Whether it says nothing: a removal that a power cut stopped leaves zeros."""
        return not self.data.strip(b"\0 \t\r\n")


def find(boot: Path, names: tuple[str, ...]) -> CardFile | None:
    """Return the file that has one of these names, in any case; None: there is none.

    Raises:
        CardError: there are several, or it can't be read.
    """
    try:
        found = sorted(path for path in boot.iterdir() if _plain(path) in names)
    except OSError as error:
        raise CardError(f"cannot read {boot}: {error.strerror}; is the card whole?") from error
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise CardError(f"cannot choose between {listed}: leave one of them on the card")
    if not found:
        return None
    try:
        with found[0].open("rb") as file:
            return CardFile(found[0], file.read(CARD_BYTES_MAX + 1))
    except OSError as error:
        raise CardError(f"cannot read {found[0].name}: {error.strerror}; copy it again") from error


def formatted(boot: Path) -> list[str]:
    """Return the names of files that a word processor saved where a text file was meant."""
    with contextlib.suppress(OSError):
        return sorted(path.name for path in boot.iterdir() if _FORMATTED.fullmatch(_plain(path)))
    return []


def replace(old: CardFile, data: bytes) -> None:
    """Put other content into a file and overwrite the old: what left it shall not stay.

    A flash card may keep the overwritten cells all the same (docs/safety.md).

    Raises:
        CardError: the card can't be written.
    """
    try:
        descriptor = os.open(old.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_whole(old.path, data, mode=_FILE_MODE)
            _overwrite(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(old.path, error) from error


def remove(old: CardFile) -> None:
    """Overwrite a file and remove it.

    Raises:
        CardError: the card can't be written.
    """
    try:
        descriptor = os.open(old.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _overwrite(descriptor)
        finally:
            os.close(descriptor)
        old.path.unlink()
        sync_folder(old.path.parent)
    except OSError as error:
        raise _unwritable(old.path, error) from error


def tell(boot: Path, problems: list[str]) -> None:
    """Have the problem file say these problems, or be away if there are none.

    Raises:
        CardError: the card can't be written.
    """
    path = boot / PROBLEM
    try:
        if not problems:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                sync_folder(boot)
            return
        # With the line ends of Windows, whose older editors know no others.
        data = problem_text(problems).replace("\n", "\r\n").encode("utf-8-sig")
        if not path.is_file() or path.read_bytes() != data:
            write_whole(path, data, mode=_FILE_MODE)
    except OSError as error:
        raise _unwritable(path, error) from error


def problem_text(problems: list[str]) -> str:
    """Return what the problem file says: what it is, in five languages, then the problems."""
    intro = resources.files(__package__).joinpath("linewatch-problem.txt").read_text("utf-8")
    return intro + "\n" + "".join(f"* {problem}\n" for problem in problems)


def _plain(path: Path) -> str:
    return _COPY.sub("", path.name.lower())


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, b"\0" * size, 0)
    os.fsync(descriptor)


def _unwritable(path: Path, error: OSError) -> CardError:
    with contextlib.suppress(OSError):
        path.with_name(f"{path.name}.new").unlink()  # what was begun takes room
    if error.errno == errno.ENOSPC:
        return CardError(
            f"cannot write {path.name} on the card: it is full; delete what is not its own there, "
            "then start the probe again"
        )
    return CardError(
        f"cannot write {path.name} on the card: {error.strerror}; the card may be worn out or "
        "locked: try another card"
    )
