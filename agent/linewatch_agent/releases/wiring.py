"""What the composition root needs of releases: where this agent runs from, what it may take."""

from pathlib import Path

from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.standing import InstallError, standing_of
from linewatch_agent.releases.trial import read_trial
from linewatch_core.release.rules import Standing


class Installed:
    """The release on this machine's disk that this very agent is of, if it is of one."""

    def __init__(self, version: str, places: Places | None = None) -> None:
        self._shelf = Shelf(places or Places())
        self._version = version
        runs = Path(__file__).is_relative_to(self._shelf.places.releases / version)
        self.is_release = runs and self._shelf.current() == version

    @property
    def on_trial(self) -> bool:
        """Whether root counts the starts of this release."""
        trial = read_trial(self._shelf.places)
        return trial is not None and trial.version == self._version

    def standing(self) -> Standing:
        """Return what this machine has, and is; InstallError if that is not this agent."""
        standing = standing_of(self._shelf)
        if standing.version != self._version:
            raise InstallError(
                f"{standing.version} is in place, {self._version} runs: waiting for the restart"
            )
        return standing
