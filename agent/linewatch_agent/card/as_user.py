"""Do one thing as another user, and bring back the text that it returns.

A program of root must not write into a folder that another user may change: so it
becomes that user first, in a child. Knows nothing of what is done.
"""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from linewatch_core.errors import LinewatchError

_DONE, _REFUSED = "+", "-"


@dataclass(frozen=True, slots=True)
class User:
    """A user of a system, which need not be the running one (an image, a test)."""

    uid: int
    gid: int


class NoUserError(LinewatchError):
    """There is no such user; the message says what to do."""


def find_user(name: str, root: Path) -> User:
    """Return a user by the passwd file below `root`.

    Raises:
        NoUserError: it isn't there.
    """
    passwd = root / "etc/passwd"
    try:
        for line in passwd.read_text("utf-8", "replace").splitlines():
            fields = line.split(":")
            if fields[0] == name and len(fields) == 7:
                return User(int(fields[2]), int(fields[3]))
    except (OSError, ValueError) as error:
        raise NoUserError(f"cannot read {passwd}: {error}") from error
    raise NoUserError(
        f"cannot find the user {name} in {passwd}: install the package linewatch-agent"
    )


def as_user(user: User, action: Callable[[], str]) -> str:
    """Return what `action` returns when it is done as `user`, in a child process.

    Raises:
        LinewatchError: with the same text, if the action raised one of ours.
        RuntimeError: it ended otherwise.
    """
    if os.getuid() == user.uid:
        return action()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(user, action, write_end)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        answer = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"the child that became user {user.uid} ended with {status}")
    if answer[:1] != _DONE:
        raise LinewatchError(answer[1:])
    return answer[1:]


def _in_child(user: User, action: Callable[[], str], pipe: int) -> None:
    """Become the user, act, say how it went, and end without any of the parent's farewells."""
    status = 1
    try:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        os.umask(0o077)
        try:
            answer = _DONE + action()
        except LinewatchError as error:
            answer = _REFUSED + str(error)
        with open(pipe, "wb") as file:
            file.write(answer.encode("utf-8", "replace"))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
