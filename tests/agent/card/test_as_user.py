"""Doing one thing as another user: what comes back, and who did it."""

import os
from pathlib import Path

import pytest

from linewatch_agent.card.as_user import NoUserError, User, as_user, find_user
from linewatch_core.errors import LinewatchError
from tests.support.card import AGENT_UID


def _user() -> User:
    """Return another user where the tests run as root, else the one who runs them."""
    uid = AGENT_UID if os.getuid() == 0 else os.getuid()
    return User(uid, uid)


def _who() -> str:
    return f"{os.getuid()} {os.getgid()} {len(os.getgroups())}"


def test_it_is_done_as_that_user() -> None:
    """The child has that user's ids and no further groups; the parent stays who it is."""
    before = _who()
    user = _user()
    if user.uid != os.getuid():
        assert as_user(user, _who) == f"{user.uid} {user.gid} 0"
    assert _who() == before


def test_what_is_returned_comes_back() -> None:
    """Any text comes back as it was, however long."""
    text = "ပြဿနာ\n" * 20_000
    assert as_user(_user(), lambda: text) == text


def test_our_errors_come_back() -> None:
    """An error of ours is raised here with the same words."""

    def refuse() -> str:
        raise NoUserError("cannot do it: it is Sunday")

    with pytest.raises(LinewatchError, match="it is Sunday"):
        as_user(_user(), refuse)


def test_a_bug_is_not_taken_for_a_result(capfd: pytest.CaptureFixture[str]) -> None:
    """What is no error of ours ends loudly: in a child it has told where before."""

    def break_down() -> str:
        raise ZeroDivisionError

    with pytest.raises((RuntimeError, ZeroDivisionError)):
        as_user(_user(), break_down)
    assert os.getuid() != 0 or "ZeroDivisionError" in capfd.readouterr().err


def test_a_user_is_found_by_the_systems_own_file(tmp_path: Path) -> None:
    """An image's users are its own; one that is missing is told."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("broken\nlinewatch:x:990:991::/:/bin/false\n")
    assert find_user("linewatch", tmp_path) == User(990, 991)
    with pytest.raises(NoUserError, match="cannot find the user x"):
        find_user("x", tmp_path)
    with pytest.raises(NoUserError, match="cannot read"):
        find_user("x", tmp_path / "none")
