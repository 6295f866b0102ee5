"""The release that is installed is told as importlib.metadata tells it."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from linewatch_agent.own_version import own_version
from linewatch_core.errors import LinewatchError


def test_it_is_what_the_library_says() -> None:
    """Of the real installation that the tests run in."""
    assert own_version() == version("linewatch")


def test_where_nothing_is_installed_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Code that somebody copied without its package has no version."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])
    with pytest.raises(LinewatchError, match="install the package"):
        own_version()
