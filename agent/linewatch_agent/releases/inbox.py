"""What the agent put down for root, as root reads it: nothing in there is trusted.

The folder is the agent's, so each file may be a link, a pipe or anything else by now.
Standard library only.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from linewatch_core.errors import LinewatchError

_WORD_BYTES_MAX = 64


class InboxError(LinewatchError):
    """A file of the inbox is no plain file."""


class Inbox:
    """The folder, opened without following links."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def word(self, name: str) -> str | None:
        """Return a short file's text, such as a version; None if it is not there."""
        try:
            with self.open(name) as file:
                return file.read(_WORD_BYTES_MAX).decode("ascii").strip()
        except (OSError, InboxError, UnicodeDecodeError):
            return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a plain file for reading.

        Raises:
            InboxError: it is not there, or something else.
        """
        try:
            with self._opened() as folder:
                # Not blocking: the agent could have put a pipe there.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            raise InboxError(f"cannot use {self._folder / name}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InboxError(f"cannot use {self._folder / name}: not a plain file")
            yield file

    def remove(self, *names: str) -> None:
        """Delete files that are there."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._opened() as folder:
            for name in names:
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._folder, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
