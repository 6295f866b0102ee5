"""Root's, before every start of the agent: counts a new release's tries, and takes it back.

Standard library only, and run from the Debian package's own files: it works where the
release it judges does not. Safe to be killed anywhere: what it does, it does again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from linewatch_agent.releases.adopt import adopt
from linewatch_agent.releases.inbox import Inbox
from linewatch_agent.releases.memory import read_memory, write_memory
from linewatch_agent.releases.places import PROVED_FILE, Places
from linewatch_agent.releases.shelf import Shelf, version_of
from linewatch_agent.releases.trial import TRIES_MAX, Trial, read_trial, write_trial
from linewatch_core.errors import LinewatchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Let the agent start, or put another release in its place first."""
    given = sys.argv[1:] if arguments is None else arguments
    gate = Gate(Shelf(Places(Path(given[0]) if given else Path("/"))))
    try:
        said = gate.pass_agent()
    except (LinewatchError, OSError) as error:
        # The agent starts all the same: to measure with what is there beats not to.
        print(f"linewatch-release-gate: cannot look after releases: {error}", file=sys.stderr)
        return 1
    if said:
        print(f"linewatch-release-gate: {said}", file=sys.stderr)
    return 0


class Gate:
    """Decides which release the agent is started from."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def pass_agent(self) -> str | None:
        """Do what is to be done before a start; return it in words, None for nothing."""
        current = self._shelf.current()
        trial = read_trial(self._shelf.places)
        if current is None:
            return f"no whole release was in place: {self.mend(trial)} is now"
        if trial is None:
            return None
        if trial.version != current:
            # Killed between the record and the flip, or after the way back.
            write_trial(self._shelf.places, None)
            return None
        if is_proved(self._shelf.places, trial):
            write_trial(self._shelf.places, None)
            return f"{current} has proved itself"
        if trial.failed:
            return self.roll_back(trial)
        write_trial(self._shelf.places, trial.again())
        return f"{current} is on trial: start {trial.tries + 1} of {TRIES_MAX}"

    def roll_back(self, trial: Trial) -> str:
        """Return to the release before, and remember the one that failed."""
        places = self._shelf.places
        write_memory(places, read_memory(places).with_failed(trial.version, trial.created_s))
        version = self.mend(trial)
        write_trial(places, None)
        return f"{trial.version} did not prove itself in {TRIES_MAX} starts: back to {version}"

    def mend(self, trial: Trial | None) -> str:
        """Make the best release that is whole the current one, and return its version.

        Raises:
            LinewatchError: there is none, not even the package's.
        """
        places = self._shelf.places
        whole = self._shelf.versions()
        if trial is not None and trial.previous in whole:
            best = trial.previous
        else:
            failed = {*read_memory(places).failed, trial.version if trial else ""}
            good = [version for version in whole if version not in failed]
            if not good:
                return self._from_package()
            best = good[-1]
        self._shelf.flip(best)
        return best

    def _from_package(self) -> str:
        package = self._shelf.places.package
        adopt(self._shelf, package, anyway=True)
        return version_of(package) or "the package's"


def is_proved(places: Places, trial: Trial) -> bool:
    """Return whether the agent of the release on trial had a segment acknowledged."""
    return Inbox(places.inbox).word(PROVED_FILE) == trial.version
