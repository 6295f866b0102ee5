"""What a machine has, and whom it trusts: asked by the agent before it fetches, and by root."""

import sys

from linewatch_agent.releases.machine import machine_tag
from linewatch_agent.releases.memory import read_memory
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf, built_s
from linewatch_core.errors import LinewatchError
from linewatch_core.release.rules import Standing


class InstallError(LinewatchError):
    """A release is not put in place."""


def standing_of(shelf: Shelf) -> Standing:
    """Return what this machine has, and is.

    Raises:
        InstallError: no whole release runs here.
    """
    version = shelf.current()
    if version is None:
        raise InstallError("no whole release runs here")
    memory = read_memory(shelf.places)
    return Standing(
        version=version,
        taken_s=max(memory.taken_s, built_s(shelf.folder(version))),
        failed=frozenset(memory.failed),
        machine=machine_tag(),
        python=(sys.version_info.major, sys.version_info.minor),
    )


def read_key(places: Places) -> str:
    """Return the key that releases must be signed with.

    Raises:
        InstallError: there is none.
    """
    try:
        return places.key.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InstallError(
            f"release refused: cannot read the release key {places.key} ({error}); "
            "write the fleet's there, 64 digits of 0-9 a-f"
        ) from error
